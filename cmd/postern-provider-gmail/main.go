// Command postern-provider-gmail is Postern's plugin for Gmail and Google
// Workspace.
package main

import (
	"github.com/postern-mail/postern/plugins/gmail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func main() {
	provider.Serve(gmail.New(gmail.Options{}))
}
