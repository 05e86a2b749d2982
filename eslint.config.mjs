import js from '@eslint/js'
import tseslint from 'typescript-eslint'

export default tseslint.config(
  { ignores: ['dist/', 'coverage/'] },
  js.configs.recommended,
  tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // Replies of Redis are narrowed where they are decoded.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // Resolve and reject of promises are passed around.
      '@typescript-eslint/unbound-method': 'off',
      // What a store of a framework overrides returns void there, and a promise as well here.
      '@typescript-eslint/no-misused-promises': [
        'error',
        { checksVoidReturn: { inheritedMethods: false } }
      ]
    }
  },
  {
    // Tests look into replies and errors of any shape.
    files: ['test/**'],
    rules: {
      '@typescript-eslint/no-base-to-string': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/unbound-method': 'off'
    }
  },
  // The only way to put types on what `export =` exports.
  { files: ['src/index.ts'], rules: { '@typescript-eslint/no-namespace': 'off' } },
  { files: ['**/*.js', '**/*.mjs'], ...tseslint.configs.disableTypeChecked },
  {
    files: ['**/*.js'],
    languageOptions: { globals: { module: 'writable', require: 'readonly', process: 'readonly' } }
  }
)
