import js from '@eslint/js'
import tseslint from 'typescript-eslint'

export default tseslint.config(
  { ignores: ['dist/', 'coverage/', 'test/tokenstore-0.0.4/'] },
  js.configs.recommended,
  tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // Replies of Redis are narrowed where they are decoded.
      '@typescript-eslint/no-non-null-assertion': 'off'
    }
  },
  // The only way to put types on what `export =` exports.
  { files: ['src/index.ts'], rules: { '@typescript-eslint/no-namespace': 'off' } },
  { files: ['**/*.js', '**/*.mjs'], ...tseslint.configs.disableTypeChecked },
  { files: ['**/*.js'], languageOptions: { globals: { module: 'writable', require: 'readonly', process: 'readonly' } } }
)
