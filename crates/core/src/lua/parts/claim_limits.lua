-- Limits on domains and templates, as passed to `claim`: the names in force, and the permits that
-- the worker has for each line.
local limits_in_force, has_limits, grants = {}, tonumber(ARGV[7]) > 0, {}
for at = 8, 7 + tonumber(ARGV[7]) do limits_in_force[ARGV[at]] = true end
for at = 8 + tonumber(ARGV[7]), #ARGV, 3 do
  grants[ARGV[at]] = { mails = tonumber(ARGV[at + 1]), retry_in_ms = tonumber(ARGV[at + 2]) }
end

-- The limits of a line may have been removed since a job was put into it.
local function is_limited(line)
  for name in string.gmatch(line, '%S+') do
    if limits_in_force[name] then return true end
  end
  return false
end

local function has_permit(line)
  if not is_limited(line) then return true end
  return grants[line] ~= nil and grants[line].mails > 0
end
local function use_permit(line)
  if grants[line] then grants[line].mails = grants[line].mails - 1 end
end
local function retry_in_ms(line) return grants[line] and grants[line].mails <= 0 and grants[line].retry_in_ms or 0 end

-- Returns the mail's own content, or an empty table if the payload is large.
local LARGE = 65536
local function content_of(job)
  if redis.call('STRLEN', payload_key(job.id)) > LARGE then return {} end
  local payload = redis.call('GET', payload_key(job.id))
  local line = payload and string.match(payload, '^[^\n]*\n([^\n]*)')
  local fine, content = pcall(cjson.decode, line or '')
  return fine and type(content) == 'table' and content or {}
end

-- Returns the domain of the first address in `to`.
local function domain_of(content)
  local to = type(content.to) == 'table' and content.to[1] or content.to
  return type(to) == 'string' and string.match(string.lower(to), '@([^@>%s]+)>?%s*$') or nil
end

local function template_of(job, content)
  if type(content.template) == 'string' then return content.template end
  return job.batch ~= '-' and redis.call('HGET', batch_key(job.batch), 'template') or nil
end

-- Returns the name of the line for the limits that apply to the job, or nil.
local function choose_limit_line(job)
  local content = content_of(job)
  local domain, template = 'domain.' .. (domain_of(content) or ''), 'template.' .. (template_of(job, content) or '')
  if limits_in_force[domain] and limits_in_force[template] then return domain .. ' ' .. template end
  return limits_in_force[domain] and domain or limits_in_force[template] and template or nil
end
local function limit_line_of(job) return has_limits and rare.choose_limit_line(job) or nil end

-- Moves the job to the line of its limits. The line is due at once, so that the next worker
-- requests permits for it.
local function move_to_limit_line(job, line)
  redis.call('RPUSH', line_key(line, job.priority), job.id)
  redis.call('ZADD', key('lines'), 'NX', int(now), line)
  added_waiting = true
end
