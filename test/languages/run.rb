#!/usr/bin/env ruby
# Runs test/vectors.json, or the file VECTORS, with redis-rb.
# REDIS_HOST, REDIS_PORT, REDIS_USER and REDISCLI_AUTH say where;
# PREFIX is what every root begins with.
require 'digest'
require 'json'
require 'redis'

Encoding.default_external = 'UTF-8'
HOME = File.expand_path('../..', __dir__)
CLIENT = Redis.new(
  host: ENV.fetch('REDIS_HOST', '127.0.0.1'),
  port: ENV.fetch('REDIS_PORT', '6379').to_i,
  username: ENV['REDIS_USER'],
  password: ENV['REDISCLI_AUTH']
)

# Calls a script by its digest, and by its text when the server does not know it:
# EVAL runs and loads it.
def tokenstore(script, root, *args)
  lua = File.binread("#{HOME}/lua/#{script}.lua")
  CLIENT.evalsha(Digest::SHA1.hexdigest(lua), [root], args)
rescue Redis::CommandError => error
  raise unless error.message.start_with?('NOSCRIPT ')

  CLIENT.eval(lua, [root], args)
end

# The rest is about the conversations.

def fill(text, values)
  text.gsub(/\$\{(\w+)\}/) { values[Regexp.last_match(1)].to_s }
end

def matches?(expected, reply, values, now)
  case expected
  when String then reply == fill(expected, values)
  when Array
    return false unless reply.is_a?(Array) && reply.length == expected.length

    objects_first = expected.each_index.sort_by { |i| expected[i].is_a?(Hash) ? 0 : 1 }
    objects_first.all? { |i| matches?(expected[i], reply[i], values, now) }
  when Hash then matches_object?(expected, reply, values, now)
  else reply == expected
  end
end

def matches_object?(expected, reply, values, now)
  error, time, same, as, after = expected.values_at('error', 'time', 'same', 'as', 'after')
  return reply.is_a?(Redis::CommandError) && reply.message.start_with?("#{error} ") if error
  return reply == values[same] if same

  return false if time && !(reply.is_a?(Integer) && (reply - now - time).abs < 10_000)
  return false if after && reply <= values[after]

  values[as] = reply if as
  reply.is_a?(String) || reply.is_a?(Integer)
end

# What is wrong, or nil.
def run(step, root, values, now)
  filled = ->(texts) { texts.map { |text| fill(text, values) } }
  if step['call']
    begin
      reply = tokenstore(step['call'], root, *filled[step['args']])
    rescue Redis::CommandError => error
      reply = error
    end
    reply.inspect unless matches?(step['reply'], reply, values, now)
  elsif step['names']
    names = CLIENT.scan_each(match: "#{root}:*", count: 1000)
    found = names.map { |name| name.delete_prefix("#{root}:") }.uniq.sort
    found.inspect unless found == filled[step['names']].sort
  elsif step['redis']
    CLIENT.call(*filled[step['redis']])
    nil
  elsif step['wait']
    sleep(step['wait'] / 1000.0)
    nil
  else
    'a step of an unknown kind'
  end
end

vectors = JSON.parse(File.read(ENV.fetch('VECTORS', "#{HOME}/test/vectors.json")))
calls = 0
failed = false
vectors['conversations'].each.with_index(1) do |conversation, number|
  root = "#{ENV.fetch('PREFIX')}-#{number}"
  values = vectors['values'].merge('root' => root)
  now = CLIENT.time[0] * 1000
  conversation['steps'].each do |step|
    calls += 1 if step['call']
    wrong = run(step, root, values, now)
    next unless wrong

    warn "#{conversation['name']}: #{step.to_json}\ngot #{wrong}"
    failed = true
    break
  end
end
exit 1 if failed
puts "Ruby: #{vectors['conversations'].length} conversations, #{calls} calls"
