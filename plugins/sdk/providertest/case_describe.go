package providertest

import (
	"context"
	"maps"
	"reflect"
	"regexp"
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

var (
	pluginName  = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	settingName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// capabilities that the contract names.
var capabilities = []provider.Capability{
	provider.CapMailboxes, provider.CapModify, provider.CapAppend, provider.CapCopy, provider.CapDelete,
	provider.CapPurge, provider.CapSend, provider.CapSearch, provider.CapWatch, provider.CapListen,
	provider.CapConnect, provider.CapRevoke, provider.CapExactBytes, provider.CapIdentities,
}

func describeCases() []Case {
	return []Case{
		{Name: "describe/stable", Doc: "Describe always gives the same answer", Read: true, test: describeStable},
		{Name: "describe/well-formed", Doc: "Info is complete and makes sense", Read: true, test: describeWellFormed},
		{Name: "configure/repeats", Doc: "Configure can be repeated, and open accounts go on", Read: true, test: configureRepeats},
		{Name: "configure/missing", Doc: "a required setting left out is misconfigured", test: configureMissing},
		{Name: "configure/nonsense", Doc: "settings that cannot work are misconfigured", test: configureNonsense},
	}
}

func describeStable(f *fixture) {
	for range 2 {
		again, err := f.p.Describe(f.ctx)
		f.must("describe", err)
		if !reflect.DeepEqual(f.info, again) {
			f.Fatalf("describe gave %+v, then %+v", f.info, again)
		}
	}
}

func describeWellFormed(f *fixture) {
	i := f.info
	if !pluginName.MatchString(i.Name) {
		f.Errorf("name %q is not of the form %s", i.Name, pluginName)
	}
	if i.Title == "" || i.Version == "" {
		f.Errorf("title %q and version %q must not be empty", i.Title, i.Version)
	}
	switch i.SignIn {
	case provider.SignInOAuth:
		if !i.Has(provider.CapConnect) {
			f.Errorf("sign-in is %s without capability %s", i.SignIn, provider.CapConnect)
		}
	case provider.SignInNone:
	default:
		f.Errorf("sign-in %q is not known", i.SignIn)
	}
	if i.Scope != mail.ScopeAccount && i.Scope != mail.ScopeMailbox {
		f.Errorf("scope %q is not known", i.Scope)
	}
	seen := map[string]bool{}
	for _, c := range i.Capabilities {
		if seen[string(c)] {
			f.Errorf("capability %q twice", c)
		}
		seen[string(c)] = true
		known := false
		for _, k := range capabilities {
			known = known || k == c
		}
		if !known {
			f.Errorf("capability %q is not known", c)
		}
	}
	for _, s := range i.Settings {
		if !settingName.MatchString(s.Name) || seen["setting "+s.Name] {
			f.Errorf("setting %q is not of the form %s, or there twice", s.Name, settingName)
		}
		seen["setting "+s.Name] = true
		if s.Doc == "" {
			f.Errorf("setting %s has no doc", s.Name)
		}
		if s.Secret && s.Default != "" {
			f.Errorf("setting %s is a secret with a default", s.Name)
		}
	}
	for _, k := range i.Keywords {
		if k == "" || k != strings.ToLower(k) || seen["keyword "+k] {
			f.Errorf("keyword %q is empty, not lower case, or there twice", k)
		}
		seen["keyword "+k] = true
	}
	if l := i.Limits; l.MaxMessageBytes < 0 || l.ModifyBatch < 0 || l.FetchBatch < 0 {
		f.Errorf("limits are negative: %+v", l)
	}
}

func configureRepeats(f *fixture) {
	call := f.call()
	for range 2 {
		_, err := f.p.Configure(f.ctx, f.config)
		f.must("configure again", err)
	}
	_, err := f.p.Mailboxes(f.ctx, &provider.MailboxesRequest{Call: call})
	f.must("mailboxes of the account that was open", err)
}

// refuses configures with settings that cannot work, and puts the good ones
// back.
func (f *fixture) refuses(what string, settings map[string]string) {
	f.Helper()
	f.after(func(ctx context.Context) {
		if _, err := f.p.Configure(ctx, f.config); err != nil {
			f.Errorf("configure with the good settings afterwards: %v", err)
		}
	})
	bad := *f.config
	bad.Settings = settings
	_, err := f.p.Configure(f.ctx, &bad)
	f.kind("configure "+what, err, mail.KindMisconfigured)
}

func configureMissing(f *fixture) {
	tried := 0
	for _, s := range f.info.Settings {
		if !s.Required {
			continue
		}
		tried++
		settings := maps.Clone(f.w.Settings())
		delete(settings, s.Name)
		f.refuses("without "+s.Name, settings)
	}
	if tried == 0 {
		f.Skipf("no setting is required")
	}
}

func configureNonsense(f *fixture) {
	bad := f.w.BadSettings()
	if len(bad) == 0 {
		f.hook(NoHook("bad_settings"))
	}
	for _, settings := range bad {
		f.refuses("with nonsense", settings)
	}
}
