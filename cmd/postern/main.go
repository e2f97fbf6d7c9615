// Command postern is the mail gateway. Run it without arguments for its
// commands.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
