// Package arch holds the layout of the repository in place. It is tests only.
//
// What is kept true: a package imports of ours only what floors_test.go lists
// for it, and that list runs downwards (ARCHITECTURE.md, "Floors"); the core
// knows no provider by name; files stay short; what the README shows is what
// tests run. The tests parse the files themselves. They do not ask `go list`,
// whose answer the test cache would keep after the files have changed.
//
// Start at floors_test.go: a new package, or a new import, is a line there.
package arch
