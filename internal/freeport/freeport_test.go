package freeport

import (
	"net"
	"strconv"
	"testing"
)

// TestAddress holds each address that it was given: no other is the same, and all
// are outside of what the system gives by itself.
func TestAddress(t *testing.T) {
	for range 200 {
		address, err := Address()
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		host, port, err := net.SplitHostPort(address)
		if n, _ := strconv.Atoi(port); err != nil || host != "127.0.0.1" || n < lowest || n >= highest {
			t.Errorf("%s: %v", address, err)
		}
	}
}
