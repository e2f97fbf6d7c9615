// Command postern-provider-outlook is Postern's plugin for Outlook and
// Exchange Online.
package main

import (
	"github.com/postern-mail/postern/plugins/outlook"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func main() {
	provider.Serve(outlook.New(outlook.Options{}))
}
