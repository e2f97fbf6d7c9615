package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/gateway"
	"github.com/postern-mail/postern/internal/pluginhost"
	"github.com/postern-mail/postern/plugins/sdk/check"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

type checkConfigCmd struct {
	Offline bool `help:"Ask nobody on the network."`
}

// checksLimit bounds all checks of one provider.
const checksLimit = time.Minute

// Run checks the settings themselves first (exit code 2 where they cannot be),
// then what the world says of them (exit code 1 where a check fails).
func (c checkConfigCmd) Run(e *env) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	if _, err := gateway.Keyring(e.ctx, cfg, os.LookupEnv); err != nil {
		return usageError{err}
	}
	if err := gateway.CheckCertificates(cfg); err != nil {
		return usageError{err}
	}
	failed := 0
	var cannot []error // all of them are told at once
	for _, name := range slices.Sorted(maps.Keys(cfg.Providers)) {
		p := cfg.Providers[name]
		settings, err := p.Resolve(os.LookupEnv)
		if err != nil {
			cannot = append(cannot, fmt.Errorf("providers.%s.%w", name, err))
			continue
		}
		n, err := e.checkProvider(cfg, name, p, settings, c.Offline)
		if err != nil {
			cannot = append(cannot, fmt.Errorf("providers.%s: %w", name, err))
		}
		failed += n
	}
	switch {
	case len(cannot) > 0:
		return usageError{errors.Join(cannot...)}
	case failed == 1:
		return errors.New("one check failed")
	case failed > 1:
		return fmt.Errorf("%d checks failed", failed)
	}
	fmt.Fprintln(e.stdout, "The settings are sound.")
	return nil
}

// checkProvider starts a provider's plugin, only to ask what it thinks of its
// settings, and tries them. It signs in nowhere. It gives how many checks
// failed, and an error where the settings cannot be.
func (e *env) checkProvider(cfg *config.Config, name string, p config.Provider, settings map[string]string, offline bool) (failed int, err error) {
	dirs, err := pluginhost.DefaultDirs(cfg.Plugins.Dir)
	if err != nil {
		return 0, err
	}
	binary, err := pluginhost.Lookup(dirs, p.Plugin)
	if err != nil {
		return 0, err
	}
	err = launched(e.ctx, binary.Path, func(pr provider.Provider) error {
		info, err := pr.Describe(e.ctx)
		if err != nil {
			return err
		}
		if err := pluginhost.CheckSettings(info, settings); err != nil {
			return err
		}
		req := &provider.ConfigureRequest{Instance: name, Settings: settings, NotifyKey: make([]byte, 32),
			RedirectURL: cfg.Public().JoinPath("oauth", name, "callback").String()}
		if p.Push && !cfg.Pushes(name) {
			fmt.Fprintf(e.stdout, "providers.%s.push: public_url is not set, so nobody can notify the gateway: accounts are polled\n", name)
		}
		if cfg.Pushes(name) {
			req.NotificationURL = cfg.Public().JoinPath("notify", name).String()
		}
		resp, err := pr.Configure(e.ctx, req)
		if err != nil {
			return err
		}
		for _, w := range resp.Warnings {
			fmt.Fprintf(e.stdout, "providers.%s: %s\n", name, w)
		}
		if names := pluginhost.StandIns(info, settings); len(names) > 0 {
			fmt.Fprintf(e.stdout, "providers.%s: %s\n", name, pluginhost.StandInWarning(names))
		}
		if offline {
			return nil
		}
		failed, err = e.tryProvider(cfg, name, pr)
		return err
	})
	return failed, err
}

// tryProvider prints what to register and what the checks found.
func (e *env) tryProvider(cfg *config.Config, name string, pr provider.Provider) (failed int, err error) {
	ctx, cancel := context.WithTimeout(e.ctx, checksLimit)
	defer cancel()
	resp, err := pr.Check(ctx, &provider.CheckRequest{})
	switch {
	case provider.IsUnsupported(err):
		resp = &provider.CheckResponse{}
	case err != nil:
		return 0, fmt.Errorf("check: %w", err)
	}
	if cfg.PublicURL != "" {
		resp.Results = append(resp.Results, tryPublicURL(ctx, cfg, name)...)
	}
	e.printRegistrations(name, resp.Registrations)
	return e.printChecks(name, resp.Results)
}

// registrationNames are the kinds of registration for people.
var registrationNames = map[provider.RegistrationKind]string{
	provider.RegisterRedirect: "redirect URI", provider.RegisterNotification: "notification URL", provider.RegisterPermission: "permission",
}

// printRegistrations prints each value on a line of its own, to be pasted, under
// what it is and where it goes.
func (e *env) printRegistrations(name string, list []provider.Registration) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(e.stdout, "\nproviders.%s: to be registered at the provider\n", name)
	last := ""
	for _, r := range list {
		title := registrationNames[r.Kind]
		if title == "" {
			title = string(r.Kind)
		}
		if r.Note != "" {
			title += " (" + r.Note + ")"
		}
		if title != last {
			fmt.Fprintf(e.stdout, "  %s\n", title)
		}
		last = title
		fmt.Fprintf(e.stdout, "    %s\n", r.Value)
	}
}

// outcomes are what a check's line begins with.
var outcomes = map[provider.CheckOutcome]string{
	provider.CheckPassed: "ok", provider.CheckFailed: "FAILED", provider.CheckUnknown: "unknown",
}

func (e *env) printChecks(name string, list []provider.CheckResult) (failed int, err error) {
	if len(list) == 0 {
		return 0, nil
	}
	fmt.Fprintf(e.stdout, "\nproviders.%s: checks\n", name)
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	for _, c := range list {
		outcome := outcomes[c.Outcome]
		if outcome == "" {
			outcome = string(c.Outcome)
		}
		text := c.Detail
		if c.Remedy != "" && c.Outcome != provider.CheckPassed {
			text = strings.TrimSuffix(text, ".") + "; " + c.Remedy
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", outcome, c.Name, text)
		if c.Outcome == provider.CheckFailed {
			failed++
		}
	}
	fmt.Fprintln(w)
	return failed, w.Flush()
}

// tryPublicURL asks public_url, on the way of the provider or of its owners, for
// what this gateway alone can answer.
func tryPublicURL(ctx context.Context, cfg *config.Config, name string) []provider.CheckResult {
	const (
		what   = "public URL"
		remedy = "let the reverse proxy or tunnel hand on /connect/, /oauth/ and /notify/ to http.listen, and public_url be its address"
	)
	var run check.Run
	prove, stop, err := gateway.Proving(ctx, cfg)
	if err != nil {
		run.Failed(what, "not tried: "+err.Error(), "stop what listens there, or start the gateway first")
		return run.Results
	}
	defer stop()
	nonce := rand.Text()
	want, err := prove(nonce)
	if err != nil {
		run.Failed(what, "the gateway does not answer: "+err.Error(), "look at its log")
		return run.Results
	}
	req, err := http.NewRequest(http.MethodGet, gateway.ProofURL(cfg, name, nonce), nil)
	if err != nil {
		run.Failed(what, cfg.PublicURL+" is no address", "correct public_url")
		return run.Results
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	answer, ok := run.Do(ctx, what, client, req, remedy)
	switch {
	case !ok:
	case answer.Status != http.StatusOK:
		run.Failed(what, fmt.Sprintf("%s answers with status %d, and is not this gateway", check.Where(req.URL), answer.Status), remedy)
	case subtle.ConstantTimeCompare(answer.Body, []byte(want)) != 1:
		run.Failed(what, check.Where(req.URL)+" is answered by somebody else, and not by this gateway", remedy)
	default:
		run.Passed(what, cfg.PublicURL+" leads here, as seen from this machine")
	}
	return run.Results
}
