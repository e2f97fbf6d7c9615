package main

import (
	"context"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/postern-mail/postern/internal/freeport"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// checkedPlugin is a provider in memory whose checks find what the setting
// mood says; silent has no checks at all, as plugins of before had none.
func checkedPlugin() { provider.Serve(&checked{Provider: memory.New(memory.Options{Name: "checked"})}) }

type checked struct {
	*memory.Provider
	mood string
}

func (c *checked) Describe(ctx context.Context) (*provider.Info, error) {
	info, err := c.Provider.Describe(ctx)
	if err == nil {
		info.Settings = append(info.Settings,
			provider.Setting{Name: "mood", Doc: "what the checks find"},
			provider.Setting{Name: "api", Doc: "the provider's address", Default: "https://api.example.com/"})
	}
	return info, err
}

func (c *checked) Configure(ctx context.Context, req *provider.ConfigureRequest) (*provider.ConfigureResponse, error) {
	again := *req
	again.Settings = nil
	c.mood = req.Settings["mood"]
	switch c.mood {
	case "bad":
		c.Cloud().CheckFinds(provider.CheckResult{Name: "credentials", Outcome: provider.CheckFailed, Detail: "refused", Remedy: "make another secret"})
	case "unsure":
		c.Cloud().CheckFinds(provider.CheckResult{Name: "push", Outcome: provider.CheckUnknown, Detail: "nobody can tell", Remedy: "wait and see"})
	}
	return c.Provider.Configure(ctx, &again)
}

func (c *checked) Check(ctx context.Context, req *provider.CheckRequest) (*provider.CheckResponse, error) {
	if c.mood == "silent" {
		return provider.Unsupported{}.Check(ctx, req)
	}
	return c.Provider.Check(ctx, req)
}

// freeport NAME gives a variable a loopback address that nobody listens on.
func freePort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: freeport NAME")
	}
	address, err := freeport.Address()
	ts.Check(err)
	ts.Setenv(args[0], address)
}
