//go:build !linux && !darwin && !freebsd

package gateway

import "errors"

// freeSpace is not known here: the gateway relies on the store, which tells
// when it found no room.
func freeSpace(string) (int64, error) {
	return 0, errors.New("this system does not tell free space")
}
