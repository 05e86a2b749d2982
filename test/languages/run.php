#!/usr/bin/env php
<?php
// Runs test/vectors.json, or the file VECTORS, with phpredis.
// REDIS_HOST, REDIS_PORT, REDIS_USER and REDISCLI_AUTH say where;
// PREFIX is what every root begins with.

$home = dirname(__DIR__, 2);
$redis = new Redis();
$redis->connect(getenv('REDIS_HOST') ?: '127.0.0.1', (int) (getenv('REDIS_PORT') ?: 6379));
if (getenv('REDIS_USER')) {
    $redis->auth([getenv('REDIS_USER'), getenv('REDISCLI_AUTH')]);
}

// Calls a script by its digest, and by its text when the server does not know it:
// EVAL runs and loads it.
// phpredis answers false for nil, throws most errors, and keeps NOSCRIPT and ERR in getLastError().
function tokenstore(Redis $redis, string $script, string $root, string ...$args): mixed
{
    global $home;
    $lua = file_get_contents("$home/lua/$script.lua");
    $redis->clearLastError();
    $reply = $redis->evalSha(sha1($lua), [$root, ...$args], 1);
    if (str_starts_with($redis->getLastError() ?? '', 'NOSCRIPT ')) {
        $redis->clearLastError();
        $reply = $redis->eval($lua, [$root, ...$args], 1);
    }
    $error = $redis->getLastError();
    return $error === null ? $reply : throw new RedisException($error);
}

// The rest is about the conversations.

function fill(string $text, array $values): string
{
    $value = fn ($match) => (string) $values[$match[1]];
    return preg_replace_callback('/\$\{(\w+)\}/', $value, $text);
}

function matches(mixed $expected, mixed $reply, array &$values, int $now): bool
{
    if (is_string($expected)) {
        return $reply === fill($expected, $values);
    }
    if ($expected === null) {
        return $reply === false;
    }
    if (is_array($expected)) {
        if (!is_array($reply) || count($reply) !== count($expected)) {
            return false;
        }
        uasort($expected, fn ($a, $b) => is_object($b) <=> is_object($a)); // objects first
        foreach ($expected as $i => $element) {
            if (!matches($element, $reply[$i], $values, $now)) {
                return false;
            }
        }
        return true;
    }
    if (!is_object($expected)) {
        return $reply === $expected;
    }
    if (isset($expected->error)) {
        return $reply instanceof RedisException
            && str_starts_with($reply->getMessage(), $expected->error . ' ');
    }
    if (isset($expected->same)) {
        return $reply === $values[$expected->same];
    }
    if (isset($expected->time)) {
        if (!is_int($reply) || abs($reply - $now - $expected->time) > 10000) {
            return false;
        }
    }
    if (isset($expected->after) && $reply <= $values[$expected->after]) {
        return false;
    }
    if (isset($expected->as)) {
        $values[$expected->as] = $reply;
    }
    return is_string($reply) || is_int($reply);
}

$vectors = json_decode(file_get_contents(getenv('VECTORS') ?: "$home/test/vectors.json"));
$calls = 0;
$failed = false;
foreach ($vectors->conversations as $number => $conversation) {
    $root = getenv('PREFIX') . '-' . ($number + 1);
    $values = ['root' => $root] + (array) $vectors->values;
    $now = (int) $redis->time()[0] * 1000;
    foreach ($conversation->steps as $step) {
        $got = null;
        if (isset($step->call)) {
            $calls++;
            $args = array_map(fn ($arg) => fill($arg, $values), $step->args);
            try {
                $reply = tokenstore($redis, $step->call, $root, ...$args);
            } catch (RedisException $error) {
                $reply = $error;
            }
            if (!matches($step->reply, $reply, $values, $now)) {
                $got = [is_object($reply) ? $reply->getMessage() : $reply];
            }
        } elseif (isset($step->redis)) {
            $redis->rawCommand(...array_map(fn ($arg) => fill($arg, $values), $step->redis));
        } elseif (isset($step->wait)) {
            usleep($step->wait * 1000);
        } elseif (isset($step->names)) {
            $found = [];
            $cursor = '0';
            do { // raw, since scan() hides errors
                $rest = ['MATCH', "$root:*", 'COUNT', '1000'];
                [$cursor, $page] = $redis->rawCommand('SCAN', $cursor, ...$rest);
                array_push($found, ...$page);
            } while ($cursor !== '0');
            $found = array_values(array_unique($found));
            $wanted = array_map(fn ($name) => "$root:" . fill($name, $values), $step->names);
            sort($found);
            sort($wanted);
            $got = $found === $wanted ? null : $found;
        } else {
            $got = 'a step of an unknown kind';
        }
        if ($got !== null) {
            [$step, $got] = [json_encode($step), json_encode($got)];
            fwrite(STDERR, "$conversation->name: $step\ngot $got\n");
            $failed = true;
            break;
        }
    }
}
if ($failed) {
    exit(1);
}
echo 'PHP: ', count($vectors->conversations), " conversations, $calls calls\n";
