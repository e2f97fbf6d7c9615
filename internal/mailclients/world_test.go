package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDemoThatEnds: one that cannot start is told at once, with its words.
func TestDemoThatEnds(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "postern"), []byte("#!/bin/sh\necho no such thing\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := newWorld(t.Context(), bin, bin)
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("%v", err)
	}
}
