//go:build !linux

package e2e

import (
	"context"
	"errors"
)

// stopInCommit is never asked for here: see points.
func (s *soak) stopInCommit(context.Context) error {
	return errors.New("a commit can be seen on Linux alone")
}
