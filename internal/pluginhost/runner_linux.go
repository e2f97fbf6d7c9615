package pluginhost

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel kill the child when its parent ends. A group of
// its own keeps the terminal's Ctrl-C from it: the host stops it in order.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
