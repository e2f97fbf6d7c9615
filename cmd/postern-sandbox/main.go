// Command postern-sandbox runs a world of mail on this machine: a stand-in for
// the mail providers, with sign-in, mailboxes and push notifications, and a
// small internet around it. See internal/sandbox.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/postern-mail/postern/internal/sandbox/program"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := program.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
