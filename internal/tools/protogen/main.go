// Command protogen compiles .proto files and runs protoc-gen-go and
// protoc-gen-go-grpc on them, both pinned in this module. It stands in for
// protoc, so that generating needs nothing but Go.
//
// With -set it writes what it compiled beside the sources too, as FILE.binpb:
// a FileDescriptorSet with all imports, from which other languages make their
// classes when they run.
//
// usage: protogen [-grpc] [-set] -root DIR FILE...
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

func main() {
	root := flag.String("root", ".", "folder that the file names are relative to; output lands beside the sources")
	grpc := flag.Bool("grpc", false, "generate service code as well")
	set := flag.Bool("set", false, "write a FileDescriptorSet as well")
	flag.Parse()
	if err := run(*root, *grpc, *set, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "protogen:", err)
		os.Exit(1)
	}
}

func run(root string, grpc, set bool, files []string) error {
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{root}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(context.Background(), files...)
	if err != nil {
		return err
	}
	req := &pluginpb.CodeGeneratorRequest{FileToGenerate: files, Parameter: proto.String("paths=source_relative")}
	seen := map[string]bool{}
	for _, f := range compiled {
		addFile(req, seen, f)
	}
	if set {
		if err := writeSet(root, files[0], req.ProtoFile); err != nil {
			return err
		}
	}
	plugins := []string{"protoc-gen-go"}
	if grpc {
		plugins = append(plugins, "protoc-gen-go-grpc")
	}
	for _, p := range plugins {
		if err := generate(root, p, req); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return nil
}

// writeSet writes the compiled files without their comments.
func writeSet(root, file string, compiled []*descriptorpb.FileDescriptorProto) error {
	out := &descriptorpb.FileDescriptorSet{}
	for _, f := range compiled {
		f = proto.CloneOf(f)
		f.SourceCodeInfo = nil
		out.File = append(out.File, f)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(out)
	if err != nil {
		return err
	}
	path := filepath.Join(root, filepath.FromSlash(strings.TrimSuffix(file, ".proto")+".binpb"))
	return os.WriteFile(path, b, 0o644)
}

// addFile appends a file after everything it imports, the order that plugins
// expect.
func addFile(req *pluginpb.CodeGeneratorRequest, seen map[string]bool, f protoreflect.FileDescriptor) {
	if seen[f.Path()] {
		return
	}
	seen[f.Path()] = true
	imports := f.Imports()
	for i := range imports.Len() {
		addFile(req, seen, imports.Get(i).FileDescriptor)
	}
	var fd *descriptorpb.FileDescriptorProto = protoutil.ProtoFromFileDescriptor(f)
	req.ProtoFile = append(req.ProtoFile, fd)
}

func generate(root, plugin string, req *pluginpb.CodeGeneratorRequest) error {
	in, err := proto.Marshal(req)
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "tool", plugin)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return err
	}
	var resp pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out, &resp); err != nil {
		return err
	}
	if resp.Error != nil {
		return fmt.Errorf("%s", resp.GetError())
	}
	for _, f := range resp.File {
		path := filepath.Join(root, filepath.FromSlash(f.GetName()))
		if err := os.WriteFile(path, []byte(f.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
