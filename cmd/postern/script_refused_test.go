package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-plugin"
	"github.com/rogpeppe/go-internal/testscript"
	"go.etcd.io/bbolt"
	"google.golang.org/grpc"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// futureVersion is a version of the plugin contract that does not exist.
const futureVersion = 99

// futurePlugin is a plugin of a later Postern: it greets as they all do, and
// speaks another version of the contract.
func futurePlugin() {
	hello := provider.Handshake()
	hello.ProtocolVersion = futureVersion
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: hello,
		Plugins:         plugin.PluginSet{provider.PluginName: &futureProvider{}},
		GRPCServer:      plugin.DefaultGRPCServer,
	})
}

// futureProvider serves nothing that this version knows.
type futureProvider struct{ plugin.NetRPCUnsupportedPlugin }

func (*futureProvider) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error { return nil }

func (*futureProvider) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("this end is the plugin's")
}

// until PATTERN PROGRAM ARGS... runs a program again and again until its
// output matches.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN PROGRAM ARGS...")
	}
	want, err := regexp.Compile(args[0])
	ts.Check(err)
	for deadline := time.Now().Add(30 * time.Second); ; {
		ts.Check(ts.Exec(args[1], args[2:]...))
		if want.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the output never matched %s", args[0])
		}
	}
}

// setformat FOLDER PLUS raises the format number that a store bears, as a
// later Postern would.
func setFormat(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: setformat FOLDER PLUS")
	}
	plus, err := strconv.ParseUint(args[1], 10, 32)
	ts.Check(err)
	db, err := bbolt.Open(filepath.Join(ts.MkAbs(args[0]), "postern.db"), 0o600, &bbolt.Options{Timeout: time.Second})
	ts.Check(err)
	err = db.Update(func(tx *bbolt.Tx) error {
		meta := tx.Bucket([]byte("meta"))
		now := meta.Get([]byte("format"))
		if len(now) != 8 {
			return fmt.Errorf("the format is %x", now)
		}
		return meta.Put([]byte("format"), binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(now)+plus))
	})
	ts.Check(err)
	ts.Check(db.Close())
}

// unchanged FOLDER remembers what is in a folder; `! unchanged FOLDER` begins
// anew. Later calls fail where anything differs.
func unchanged(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] unchanged FOLDER")
	}
	dir := ts.MkAbs(args[0])
	var list strings.Builder
	ts.Check(filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		sum := sha256.Sum256(data)
		fmt.Fprintln(&list, name, hex.EncodeToString(sum[:]))
		return err
	}))
	key := "SUMS_" + strings.ToUpper(filepath.Base(dir))
	if before := ts.Getenv(key); before != "" && !neg && before != list.String() {
		ts.Fatalf("%s has changed:\nbefore\n%safter\n%s", args[0], before, list.String())
	}
	ts.Setenv(key, list.String())
}
