package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// invented is a provider of which nobody ever heard: the one in memory, under
// a name of its own. The test binary is its plugin.
const invented = "zzz"

// inventedMail is how many messages each of its accounts has at first.
const inventedMail = 7

// isPlugin reports whether a gateway started this process.
func isPlugin() bool {
	shake := provider.Handshake()
	return os.Getenv(shake.MagicCookieKey) == shake.MagicCookieValue
}

// inventedPlugin is the provider in memory, with the two ends that it lacks:
// mail that is there at first, and notifications that really travel.
type inventedPlugin struct {
	*memory.Provider
}

func (p inventedPlugin) Configure(ctx context.Context, req *provider.ConfigureRequest) (*provider.ConfigureResponse, error) {
	to := req.NotificationURL
	p.Cloud().OnNotify(func(n *provider.NotifyRequest) *provider.NotifyResponse {
		answer := &provider.NotifyResponse{Status: http.StatusBadGateway}
		post, err := http.NewRequest(n.Method, to, bytes.NewReader(n.Body))
		if err != nil {
			return answer
		}
		post.Header = n.Header
		if resp, err := http.DefaultClient.Do(post); err == nil {
			answer.Status = resp.StatusCode
			_ = resp.Body.Close()
		}
		return answer
	})
	return p.Provider.Configure(ctx, req)
}

// servePlugin is what the test binary does as a plugin.
func servePlugin() error {
	p := memory.New(memory.Options{Name: invented, PageSize: 3, Kind: mail.KindLabel, Without: []provider.Capability{provider.CapListen}})
	for _, address := range []string{inventedAnn, inventedBob} {
		p.Cloud().AddAccount(address, "Somebody")
		for n := range inventedMail {
			d := memory.Delivery{Raw: []byte(letter(address, fmt.Sprintf("kept %d", n))), Date: time.Now().Add(-time.Duration(n) * time.Hour)}
			if _, err := p.Cloud().Deliver(address, d); err != nil {
				return err
			}
		}
	}
	provider.Serve(inventedPlugin{p})
	return nil
}

const inventedAnn, inventedBob = "ann@zzz.example", "bob@zzz.example"

// alone runs a gateway with plugins of one folder, and without any sandbox.
// The providers are as the settings have them.
func alone(t *testing.T, plugins string, providers settings) *demo {
	t.Helper()
	dir := t.TempDir()
	addr := freeAddress(t)
	d := &demo{t: t}
	keys := filepath.Join(dir, "master.key")
	if out, err := exec.Command(program("postern"), "keys", "generate", keys).CombinedOutput(); err != nil {
		t.Fatalf("keys generate: %v\n%s", err, out)
	}
	g, _ := d.serve(t, dir, settings{
		"public_url": "http://" + addr, "data_dir": filepath.Join(dir, "data"),
		"master_key": settings{"file": keys},
		"http":       settings{"listen": addr},
		"imap":       freeDoor(t),
		"smtp":       freeDoor(t),
		"log":        settings{"level": "debug"},
		"plugins":    settings{"dir": plugins},
		"webhooks":   settings{"allow": []string{"127.0.0.0/8"}, "allow_http": true},
		"disk":       settings{"min_free": 0},
		"providers":  providers,
	})
	return g
}

// placeProgram puts a program under another name.
func placeProgram(t *testing.T, from, to string) {
	t.Helper()
	if os.Link(from, to) == nil {
		return
	}
	data, err := os.ReadFile(from) // another file system
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// consent opens a link and comes back with what the provider's page would
// have sent: the browser stops in front of it.
func (d *demo) consent(link, page string, answer url.Values) url.Values {
	d.t.Helper()
	browser := d.plainBrowser(page)
	_, at, text := d.visit(browser, link, nil)
	if !strings.HasPrefix(at.String(), page) {
		d.t.Fatalf("the link led to %s\n%s", at.Redacted(), text)
	}
	q := at.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || q.Get("state") == "" {
		d.t.Fatalf("the provider was asked %s", at.Redacted())
	}
	answer.Set("state", q.Get("state"))
	back.RawQuery = answer.Encode()
	if _, at, text = d.visit(browser, back.String(), nil); !strings.HasPrefix(at.String(), returnURL) {
		d.t.Fatalf("after consenting the browser is at %s\n%s", at.Redacted(), text)
	}
	return at.Query()
}

// TestInventedProvider: everything works with a provider whose name nothing
// in the gateway can know. Its page is size 3, so that listing takes several.
func TestInventedProvider(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	placeProgram(t, self, filepath.Join(dir, "postern-provider-"+invented))
	d := alone(t, dir, settings{invented: settings{"plugin": invented, "push": true, "settings": settings{"page_size": "3"}}})

	r := d.receive(nil)
	_, secret := d.endpoint(map[string]any{"url": r.URL})

	accounts := map[string]string{}
	for _, address := range []string{inventedAnn, inventedBob} {
		back := d.consent(d.link(map[string]any{"provider": invented, "expectedAddress": address}), "http://memory.invalid/", url.Values{"code": {address}})
		if back.Get("status") != "connected" {
			t.Fatalf("%s was not connected: %v", address, back)
		}
		accounts[address] = back.Get("account")
		d.eventually(address+" is in step", func() bool { return d.state(accounts[address]) == "READY" })
		if have := d.subjects(accounts[address]); len(have) != inventedMail || have["kept 0"] == "" || have["kept 6"] == "" {
			t.Errorf("%s has %v", address, have)
		}
		r.wait(address+" is connected", 1, func(h *hook) bool {
			return h.Body.Type == "account.connected" && h.Body.Account.Address == address && h.verified(t, secret)
		})
	}

	var sent struct{ SubmitMessage struct{ ID string } }
	d.query(`mutation($a: ID!, $to: AddressInput!) { submitMessage(input: {account: $a, to: [$to], subject: "from one to the other", text: "hello"}) { id } }`,
		map[string]any{"a": accounts[inventedAnn], "to": inventedBob}, &sent)
	h := r.wait("the submission is sent", 1, func(h *hook) bool { return h.Body.Type == "submission.sent" })
	if !h.verified(t, secret) || h.Body.Data.Submission != sent.SubmitMessage.ID {
		t.Errorf("sent: %s", h.Raw)
	}
	// It came by the provider's push: an account that is watched is not looked
	// at for ten minutes otherwise.
	h = r.wait("the message has arrived", 1, func(h *hook) bool {
		return h.Body.Type == "message.created" && h.Body.Account.Address == inventedBob && h.Body.Data.Envelope.Subject == "from one to the other"
	})
	if !h.verified(t, secret) || h.Body.Data.Message != d.subjects(accounts[inventedBob])["from one to the other"] {
		t.Errorf("arrived: %s", h.Raw)
	}
	d.eventually("the sender has a copy", func() bool {
		return d.subjects(accounts[inventedAnn])["from one to the other"] != ""
	})
}
