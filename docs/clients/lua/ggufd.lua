-- Follows ggufd in Neovim (0.7 or newer): a statusline and the commands :GgufdLoad, :GgufdUnload, :GgufdCancel [MODEL].
-- Copy this file to ~/.config/nvim/lua/ggufd.lua, and write into init.lua:  require("ggufd").setup()
--     vim.o.statusline = "%f %= %{v:lua.require'ggufd'.statusline()}"
-- M.models has each model's status as text, M.last is the model that has told one last.
local M, uv, pipe, pause_ms = { models = {} }, vim.uv or vim.loop, nil, 250
local STATUSES = " loading_model ready restarting unloading unloaded error " -- a model has one of these
local PHASES = " checking_local download verify quarantine mmap kv_cache engine_start warm_up "

local function describe(event)
  if event.code then return event.status .. " " .. event.code end
  local text = PHASES:find(" " .. (event.phase or "") .. " ", 1, true) and event.phase or event.status
  local done = event.downloaded_bytes or event.verified_bytes or event.resident_bytes or event.allocated_bytes
  local total = tonumber(event.total_bytes or event.bytes) or 0 -- vim.NIL while nobody knows
  if not done then return text end
  return total > 0 and ("%s %d%%"):format(text, 100 * done / total) or ("%s %d MB"):format(text, done / 1e6)
end
local function read(frame)
  if frame.code then vim.notify("ggufd: " .. frame.message, vim.log.levels[frame.status == "warning" and "WARN" or "ERROR"]) end
  if frame.type == "status" and STATUSES:find(" " .. frame.status .. " ", 1, true) then
    M.models[frame.model], M.last = describe(frame), frame.model
    vim.cmd("redrawstatus!")
  end
end
local function connect()
  local text, xdg = "", os.getenv("XDG_RUNTIME_DIR")
  local folder = os.getenv("GGUFD_RUNTIME_DIR") or (xdg and xdg .. "/ggufd") or "/tmp/ggufd-" .. uv.getuid()
  local function gone()
    pipe:close()
    pipe, M.models, M.last = nil, {}, nil
    vim.cmd("redrawstatus!")
    vim.defer_fn(connect, pause_ms)
    pause_ms = math.min(2 * pause_ms, 5000)
  end
  pipe = uv.new_pipe(false)
  pipe:connect(folder .. "/admin.sock", vim.schedule_wrap(function(failure)
    if failure then return gone() end
    pipe:read_start(vim.schedule_wrap(function(_, piece)
      if not piece then return gone() end
      local lines = vim.split(text .. piece, "\n", { plain = true })
      text, pause_ms = table.remove(lines), 250
      for _, line in ipairs(lines) do read(vim.json.decode(line)) end
    end))
  end))
end

function M.statusline(model)
  local name = model or M.last or "ggufd"
  return name .. ": " .. (M.models[name] or pipe and "no model" or "no daemon")
end
function M.setup()
  for command, verb in pairs({ GgufdLoad = "load", GgufdUnload = "unload", GgufdCancel = "cancel" }) do
    vim.api.nvim_create_user_command(command, function(given)
      if not pipe then return vim.notify("ggufd: no daemon", vim.log.levels.ERROR) end
      pipe:write(vim.json.encode({ id = verb, type = verb, model = given.args:match("%S+") }) .. "\n")
    end, { nargs = "?" })
  end
  connect()
end
return M
