//go:build !linux

package powercut

import (
	"errors"
	"os/exec"
)

// Record needs ptrace as Linux has it.
func Record(*exec.Cmd, string) (*Trace, error) {
	return nil, errors.ErrUnsupported
}
