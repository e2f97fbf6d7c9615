// Package freeport finds ports for programs that are told in advance where to listen:
// in the demo, tests and measurements.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
)

// Ports are taken from a range below those that systems give to whoever names none
// (32768 and up on Linux, 49152 and up elsewhere): a port of that range that is free
// now may be the near end of somebody's connection, or another test's listener, when
// the program comes to it, or comes back to it after a kill.
const (
	lowest  = 12_000
	highest = 32_000
)

// Port gives a TCP port on which nobody listens at 127.0.0.1, and which the system
// gives to nobody by itself.
func Port() (int, error) {
	for range 100 {
		port := lowest + rand.IntN(highest-lowest)
		l, err := net.Listen("tcp", at(port))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err == nil {
			err = l.Close()
		}
		if err != nil {
			return 0, fmt.Errorf("find a free port: %w", err)
		}
		return port, nil
	}
	return 0, fmt.Errorf("find a free port: a hundred between %d and %d are taken", lowest, highest)
}

// Address gives 127.0.0.1 with such a port.
func Address() (string, error) {
	port, err := Port()
	return at(port), err
}

func at(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
