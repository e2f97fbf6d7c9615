package providertest_test

import (
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

const ann, bob, cat = "ann@example.com", "bob@example.com", "cat@example.com"

// limit is the largest message of the flavours: append/too-large sends more.
const limit = 6 << 20

// flavours are the two sorts of provider that the contract knows, and one that
// can do little.
var flavours = []struct {
	name         string
	inapplicable []string
	opts         memory.Options
}{
	{"folders", []string{"configure/missing", "account/unsupported"}, memory.Options{MaxMessageBytes: limit}},
	{"labels", []string{"configure/missing", "account/unsupported", "changes/newest-first"}, memory.Options{Kind: mail.KindLabel, MaxMessageBytes: limit}},
	{"least", nil, memory.Options{
		Keywords: []string{mail.Seen},
		Without: []provider.Capability{
			provider.CapMailboxes, provider.CapModify, provider.CapAppend, provider.CapCopy, provider.CapDelete, provider.CapPurge,
			provider.CapSend, provider.CapSearch, provider.CapWatch, provider.CapListen, provider.CapRevoke, provider.CapExactBytes,
			provider.CapIdentities,
		},
	}},
}

func suite(opts memory.Options, inapplicable []string) providertest.Suite {
	return providertest.Suite{
		New: func(providertest.T) (provider.Provider, providertest.World) {
			p := memory.New(opts)
			return p, p.Cloud().World(ann, bob, cat)
		},
		Inapplicable: inapplicable,
	}
}

func TestDirect(t *testing.T) {
	t.Parallel()
	for _, flavour := range flavours {
		if flavour.inapplicable != nil { // the least are run by TestRunSuite, whose report has the skips
			t.Run(flavour.name, func(t *testing.T) { providertest.Run(t, suite(flavour.opts, flavour.inapplicable)) })
		}
	}
}

func TestAcrossTheWire(t *testing.T) {
	t.Parallel()
	for _, flavour := range flavours {
		if flavour.inapplicable != nil {
			t.Run(flavour.name, func(t *testing.T) {
				providertest.Run(t, suite(flavour.opts, flavour.inapplicable).Across(provider.Pipe))
			})
		}
	}
}
