package providertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// worldFile is a world as a file describes it; the package's doc has an
// example. What is missing answers ErrNoHook.
type worldFile struct {
	SettingsMap  map[string]string   `yaml:"settings"`
	Bad          []map[string]string `yaml:"bad_settings"`
	Redirect     string              `yaml:"redirect_url"`
	Owner        string              `yaml:"address"`
	Others       []string            `yaml:"recipients"`
	CAFile       string              `yaml:"ca_file"`
	ConnectStep  *step               `yaml:"connect"`
	DenyStep     *step               `yaml:"deny"`
	DeliverStep  *step               `yaml:"deliver"`
	KeywordsStep *step               `yaml:"set_keywords"`
	MoveStep     *step               `yaml:"move"`
	RemoveStep   *step               `yaml:"remove"`
	TruthStep    *step               `yaml:"truth"`
	ForgetStep   *step               `yaml:"forget_cursors"`
	ExpireStep   *step               `yaml:"expire_tokens"`
	RevokeStep   *step               `yaml:"revoke"`
	TokensStep   *step               `yaml:"token_requests"`
	Faults       map[Fault]*struct {
		Start *step `yaml:"start"`
		End   *step `yaml:"end"`
	} `yaml:"faults"`
	Approval      *approvalSteps `yaml:"approval"`
	Notifications *listener      `yaml:"notifications"`

	dir  string
	http *http.Client
}

// LoadWorld reads a world file. Paths in it are relative to its folder.
func LoadWorld(path string) (World, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read world: %w", err)
	}
	w := &worldFile{}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(w); err != nil {
		return nil, fmt.Errorf("read world %s: %w", path, err)
	}
	if w.dir, err = filepath.Abs(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("read world: %w", err)
	}
	if err := w.check(); err != nil {
		return nil, fmt.Errorf("world %s: %w", path, err)
	}
	return w, nil
}

// check finds mistakes before the first case runs, and fills in what every
// value may use: {dir} and {env.NAME}.
func (w *worldFile) check() error {
	if w.Owner == "" {
		return errors.New("address is missing: the account that the cases work on")
	}
	for name, s := range map[string]*step{
		"connect": w.ConnectStep, "deny": w.DenyStep, "deliver": w.DeliverStep, "set_keywords": w.KeywordsStep,
		"move": w.MoveStep, "remove": w.RemoveStep, "truth": w.TruthStep, "forget_cursors": w.ForgetStep,
		"expire_tokens": w.ExpireStep, "revoke": w.RevokeStep, "token_requests": w.TokensStep,
	} {
		if err := s.check(name == "connect" || name == "deny"); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if a := w.Approval; a != nil {
		if err := a.check(); err != nil {
			return fmt.Errorf("approval: %w", err)
		}
	}
	for fault, f := range w.Faults {
		if fault != FaultThrottled && fault != FaultUnavailable && fault != FaultLostAnswer {
			return fmt.Errorf("faults: %q is not known", fault)
		}
		if f == nil || f.Start == nil || f.End == nil {
			return fmt.Errorf("faults.%s: start and end are both needed", fault)
		}
		if err := errors.Join(f.Start.check(false), f.End.check(false)); err != nil {
			return fmt.Errorf("faults.%s: %w", fault, err)
		}
	}
	own := w.values(nil)
	for _, set := range append([]map[string]string{w.SettingsMap}, w.Bad...) {
		for k, v := range set {
			filled, err := own.fill(v, plain)
			if err != nil {
				return fmt.Errorf("setting %s: %w", k, err)
			}
			set[k] = filled
		}
	}
	client, err := newHTTPClient(w.path(w.CAFile))
	if err != nil {
		return err
	}
	w.http = client
	return nil
}

// path makes a path of the file absolute.
func (w *worldFile) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(w.dir, p)
}

// values are what the templates of a step may use.
func (w *worldFile) values(more values) values {
	v := values{"dir": w.dir, "redirect_url": w.RedirectURL()}
	for name, value := range more {
		v[name] = value
	}
	return v
}

// do runs a step that may be missing.
func (w *worldFile) do(ctx context.Context, hook string, s *step, v values, input []byte) ([]byte, error) {
	if s == nil {
		return nil, NoHook(hook)
	}
	out, err := s.run(ctx, w, w.values(v), input)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", hook, err)
	}
	return out, nil
}

func (w *worldFile) Settings() map[string]string {
	out := map[string]string{}
	for k, v := range w.SettingsMap {
		out[k] = v
	}
	return out
}

// BadSettings are the good ones with what the file makes bad of them.
func (w *worldFile) BadSettings() []map[string]string {
	var out []map[string]string
	for _, bad := range w.Bad {
		set := w.Settings()
		for k, v := range bad {
			set[k] = v
		}
		out = append(out, set)
	}
	return out
}

func (w *worldFile) RedirectURL() string {
	if w.Redirect == "" {
		return NoHooks{}.RedirectURL()
	}
	return w.Redirect
}

func (w *worldFile) Address() string      { return w.Owner }
func (w *worldFile) Recipients() []string { return w.Others }

func (w *worldFile) Connect(ctx context.Context, authorizeURL string) (url.Values, error) {
	return w.consent(ctx, "connect", w.ConnectStep, authorizeURL)
}

func (w *worldFile) Deny(ctx context.Context, authorizeURL string) (url.Values, error) {
	return w.consent(ctx, "deny", w.DenyStep, authorizeURL)
}

// consent plays the owner by a form driver or a command. The command prints
// the URL to which the browser was sent back, or its query.
func (w *worldFile) consent(ctx context.Context, hook string, s *step, authorizeURL string) (url.Values, error) {
	v := values{"address": w.Owner, "url": authorizeURL}
	if s != nil && s.Form != nil {
		back, err := s.Form.drive(ctx, w, w.values(v), authorizeURL)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", hook, err)
		}
		return back, nil
	}
	out, err := w.do(ctx, hook, s, v, nil)
	if err != nil {
		return nil, err
	}
	text := strings.TrimSpace(string(out))
	if _, query, ok := strings.Cut(text, "?"); ok {
		text = query
	}
	back, err := url.ParseQuery(text)
	if err != nil || len(back) == 0 {
		return nil, fmt.Errorf("%s: the answer is neither a url with a query nor a query", hook)
	}
	return back, nil
}

func (w *worldFile) Deliver(ctx context.Context, address, mailbox string, raw []byte) error {
	_, err := w.do(ctx, "deliver", w.DeliverStep, values{"address": address, "mailbox": mailbox}, raw)
	return err
}

func (w *worldFile) SetKeywords(ctx context.Context, address, id string, keywords []string) error {
	_, err := w.do(ctx, "set_keywords", w.KeywordsStep, values{"address": address, "id": id, "keywords": strings.Join(keywords, ",")}, nil)
	return err
}

func (w *worldFile) Move(ctx context.Context, address, id, mailbox string) error {
	_, err := w.do(ctx, "move", w.MoveStep, values{"address": address, "id": id, "mailbox": mailbox}, nil)
	return err
}

func (w *worldFile) Remove(ctx context.Context, address, id string) error {
	_, err := w.do(ctx, "remove", w.RemoveStep, values{"address": address, "id": id}, nil)
	return err
}

func (w *worldFile) Truth(ctx context.Context, address string) ([]Message, error) {
	out, err := w.do(ctx, "truth", w.TruthStep, values{"address": address}, nil)
	if err != nil {
		return nil, err
	}
	part, err := pick(out, w.TruthStep.Result)
	if err != nil {
		return nil, fmt.Errorf("truth: %w", err)
	}
	var list []Message
	if err := json.Unmarshal(part, &list); err != nil {
		return nil, fmt.Errorf("truth: %w", err)
	}
	return list, nil
}

func (w *worldFile) ForgetCursors(ctx context.Context, address string) error {
	_, err := w.do(ctx, "forget_cursors", w.ForgetStep, values{"address": address}, nil)
	return err
}

func (w *worldFile) ExpireTokens(ctx context.Context, address string) error {
	_, err := w.do(ctx, "expire_tokens", w.ExpireStep, values{"address": address}, nil)
	return err
}

func (w *worldFile) Revoke(ctx context.Context, address string) error {
	_, err := w.do(ctx, "revoke", w.RevokeStep, values{"address": address}, nil)
	return err
}

func (w *worldFile) TokenRequests(ctx context.Context) (int, error) {
	out, err := w.do(ctx, "token_requests", w.TokensStep, values{"address": w.Owner}, nil)
	if err != nil {
		return 0, err
	}
	n, err := count(out, w.TokensStep.Result)
	if err != nil {
		return 0, fmt.Errorf("token_requests: %w", err)
	}
	return n, nil
}

func (w *worldFile) Fault(ctx context.Context, address string, fault Fault) (func(context.Context) error, error) {
	hook := "faults." + string(fault)
	f := w.Faults[fault]
	if f == nil {
		return nil, NoHook(hook)
	}
	v := values{"address": address}
	if _, err := w.do(ctx, hook, f.Start, v, nil); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		_, err := w.do(ctx, hook, f.End, v, nil)
		return err
	}, nil
}

func (w *worldFile) Listen(ctx context.Context, handler func(*provider.NotifyRequest) *provider.NotifyResponse) (string, error) {
	if w.Notifications == nil {
		return "", NoHook("notifications")
	}
	return w.Notifications.serve(ctx, w, handler)
}
