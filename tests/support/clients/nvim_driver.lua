-- Runs the Neovim client without a screen, and writes down what it shows: one line each time that the statusline changes, one for
-- each message. Ex commands come one a line from the Unix socket $CONTROL.
local function say(text)
  io.stdout:write(text .. "\n")
  io.stdout:flush()
end

vim.o.statusline = "%{v:lua.require'ggufd'.statusline()}"
vim.notify = function(message, level)
  say((level == vim.log.levels.WARN and "warning: " or "error: ") .. message)
end

local run, shown = vim.cmd, nil
vim.cmd = function(command)
  run(command)
  if command ~= "redrawstatus!" then return end
  local line = vim.api.nvim_eval_statusline(vim.o.statusline, { maxwidth = 1000 }).str
  if line ~= shown then say(line) end
  shown = line
end

local control, text = (vim.uv or vim.loop).new_pipe(false), ""
control:connect(os.getenv("CONTROL"), vim.schedule_wrap(function(failure)
  assert(not failure, failure)
  control:read_start(vim.schedule_wrap(function(_, piece)
    text = text .. (piece or "")
    for line in text:gmatch("(.-)\n") do run(line) end
    text = text:match("[^\n]*$")
  end))
end))

require("ggufd").setup()
