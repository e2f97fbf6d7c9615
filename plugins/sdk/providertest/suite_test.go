package providertest_test

import (
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

const ann, bob, cat = "ann@example.com", "bob@example.com", "cat@example.com"

// flavours are the two sorts of provider that the contract knows, and one that
// can do little.
var flavours = []struct {
	name string
	opts memory.Options
}{
	{"folders", memory.Options{}},
	{"labels", memory.Options{Kind: mail.KindLabel}},
	{"least", memory.Options{
		Keywords: []string{mail.Seen},
		Without: []provider.Capability{
			provider.CapMailboxes, provider.CapModify, provider.CapAppend, provider.CapCopy, provider.CapDelete, provider.CapPurge,
			provider.CapSend, provider.CapSearch, provider.CapWatch, provider.CapListen, provider.CapRevoke, provider.CapExactBytes,
		},
	}},
}

func suite(opts memory.Options) providertest.Suite {
	return providertest.Suite{New: func(providertest.T) (provider.Provider, providertest.World) {
		p := memory.New(opts)
		return p, p.Cloud().World(ann, bob, cat)
	}}
}

func TestDirect(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(flavour.name, func(t *testing.T) { providertest.Run(t, suite(flavour.opts)) })
	}
}

func TestAcrossTheWire(t *testing.T) {
	for _, flavour := range flavours {
		t.Run(flavour.name, func(t *testing.T) { providertest.Run(t, suite(flavour.opts).Across(provider.Pipe)) })
	}
}
