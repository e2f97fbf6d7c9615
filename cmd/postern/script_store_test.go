package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store/bolt"
)

// newStore FOLDER KEY [VERSION] makes a store, as the first start of a Postern
// of this version does.
func newStore(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: newstore FOLDER KEY [VERSION]")
	}
	version := "devel"
	if len(args) == 3 {
		version = args[2]
	}
	key, err := seal.ReadMasterKey(ts.MkAbs(args[1]))
	ts.Check(err)
	ring, err := seal.NewKeyring(key)
	ts.Check(err)
	s, err := bolt.Open(bolt.Options{Path: ts.MkAbs(args[0]), Keyring: ring, Version: version})
	ts.Check(err)
	ts.Check(s.Close())
}

// cut FILE LENGTH leaves so many bytes of a file, or takes so many from its
// end where the number is negative.
func cut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cut FILE LENGTH")
	}
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	if n < 0 {
		info, err := os.Stat(ts.MkAbs(args[0]))
		ts.Check(err)
		n += info.Size()
	}
	ts.Check(os.Truncate(ts.MkAbs(args[0]), n))
}

// hup FOLDER sends SIGHUP to the gateway of a data folder.
func hup(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: hup FOLDER")
	}
	raw, err := os.ReadFile(filepath.Join(ts.MkAbs(args[0]), "postern.pid"))
	ts.Check(err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	ts.Check(err)
	process, err := os.FindProcess(pid)
	ts.Check(err)
	ts.Check(process.Signal(syscall.SIGHUP))
}
