#!/bin/sh
# Runs test/vectors.json, or the file VECTORS, with redis-cli (7.0 or newer, for --json) and jq.
# REDIS_HOST, REDIS_PORT, REDIS_USER and REDISCLI_AUTH say where;
# PREFIX is what every root begins with.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
lua=$here/../../lua
export LC_ALL=C.UTF-8

redis() {
  redis-cli -h "${REDIS_HOST:-127.0.0.1}" -p "${REDIS_PORT:-6379}" \
    ${REDIS_USER:+--user "$REDIS_USER"} "$@"
}

# load: the digests that SCRIPT LOAD answers are those of lua/SHA1SUMS.
load() {
  while read -r sha1 file; do
    [ "$(redis -x SCRIPT LOAD <"$lua/$file")" = "$sha1" ] ||
      { echo "$file is not that of SHA1SUMS" >&2; exit 1; }
  done <"$lua/SHA1SUMS"
}

# tokenstore script argument...: runs a script on $root and prints the reply as JSON.
tokenstore() {
  script=$1
  shift
  while read -r sha1 file && [ "$file" != "$script.lua" ]; do :; done <"$lua/SHA1SUMS"
  redis --json EVALSHA "$sha1" 1 "$root" "$@"
}

# The rest is about the conversations, which jq turns into calls of these functions,
# each in a subshell.

# fail text...: ends the conversation.
fail() {
  printf '%s: %s\n' "$name" "$*" >&2
  exit 1
}

conversation() {
  name=$1 root=$PREFIX-$2
  now=$(redis TIME | head -n 1)000
}

# refused code script argument...
refused() {
  code=$1
  shift
  reply=$(tokenstore "$@")
  case $reply in "error:\"$code "*) ;; *) fail "$* must answer $code, but answers $reply" ;; esac
}

# same a b: as JSON.
same() {
  jq -e -n --argjson a "$1" --argjson b "$2" '$a == $b' >/dev/null 2>&1
}

# answered reply script argument...: with the reply that must come, as JSON.
answered() {
  expected=$1
  shift
  reply=$(tokenstore "$@")
  [ "$reply" = "$expected" ] || same "$reply" "$expected" ||
    fail "$* must answer $expected, but answers $reply"
}

# matched reply script argument...: the same for a reply in which some elements
# only have to match, or set a value.
matched() {
  expected=$1
  shift
  reply=$(tokenstore "$@")
  set_values=$(jq -n -r --argjson values "$values" --argjson now "$now" \
    --argjson expected "$expected" --argjson reply "$reply" '
    def fill($values): gsub("\\$\\{(?<name>\\w+)\\}"; $values[.name] | tostring);
    def must($so): if $so then . else error("another") end;
    def check($expected; $reply):
      . as $values | ($expected | type) as $type
      | if $type == "string" then must($reply == ($expected | fill($values)))
        elif $type == "array" then
          must(($reply | type) == "array" and ($reply | length) == ($expected | length))
          | reduce ($expected | to_entries | sort_by(.value | type != "object")[]) as $element
              (.; check($element.value; $reply[$element.key]))
        elif $type != "object" then must($reply == $expected)
        elif $expected.same then must($reply == $values[$expected.same])
        else
          must(($reply | type) == "string" or ($reply | type) == "number")
          | if $expected.time == null then .
            else must($reply - $now - $expected.time | fabs < 10000) end
          | if $expected.after then must($reply > $values[$expected.after]) else . end
          | if $expected.as then .[$expected.as] = $reply else . end
        end;
    $values | check($expected; $reply)
    | "values=\(tojson | @sh)", (to_entries[] | "\(.key)=\(.value | tostring | @sh)")
  ' 2>/dev/null) || fail "$* must answer $expected, but answers $reply"
  eval "$set_values"
}

# names name...: all names under the root.
names() {
  wanted=$(for one; do printf '%s\n' "$root:$one"; done | sort)
  found=$(redis --scan --pattern "$root:*") || fail "SCAN failed: $found"
  found=$(printf '%s\n' "$found" | sort -u)
  [ "$found" = "$wanted" ] || fail "names must be
$wanted
but are
$found"
}

load
program=$(jq -r '
  .values as $values
  # Values that are known now, since they may hold what JSON has to escape.
  | def filled:
      def fill: gsub("\\$\\{(?<name>\\w+)\\}"; $values[.name] // "${\(.name)}");
      walk(if type == "string" then fill else . end);
  # A text in quotes for the shell, in which ${name} is a variable.
  def quoted: @sh | gsub("\\$\\{(?<name>\\w+)\\}"; "'\''\"${\(.name)}\"'\''");
  def all: map(quoted) | join(" ");
  "values=\(.values | tojson | @sh)", (.values | to_entries[] | "\(.key)=\(.value | @sh)"),
  "conversations=\(.conversations | length) failed=",
  "calls=\([.conversations[].steps[] | select(.call)] | length)",
  (.conversations | to_entries[]
    | "(", "conversation \(.value.name | @sh) \(.key + 1)",
      (.value.steps[]
        | if .redis then "redis \(.redis | all) >/dev/null"
          elif .wait then "sleep \(.wait / 1000)"
          elif .names then "names \(.names | all)"
          elif .call == null then "fail a step of an unknown kind"
          elif (.reply | type) == "object" and .reply.error then
            "refused \(.reply.error) \(.call) \(.args | all)"
          elif any(.reply | ..; type == "object") then
            "matched \(.reply | tojson | @sh) \(.call) \(.args | all)"
          else "answered \(.reply | filled | tojson | quoted) \(.call) \(.args | all)" end),
      ") || failed=yes")
' "${VECTORS:-$here/../vectors.json}")
eval "$program"
[ -z "$failed" ] || exit 1
echo "redis-cli: $conversations conversations, $calls calls"
