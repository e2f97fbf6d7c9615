package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
)

// interpose puts a proxy between the gateway and the provider of an address, which
// is to be done before the address joins.
func (s *scene) interpose(address string) *cloudProxy {
	s.t.Helper()
	s.halt()
	ca, err := os.ReadFile(s.world.State().CAFile)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range s.world.State().Providers {
		if p.Name != s.at(address) {
			continue
		}
		proxy := newCloudProxy(s.t, p.URL, ca)
		file := filepath.Join(s.dir, "proxied-ca.pem")
		if err := os.WriteFile(file, slices.Concat(ca, proxy.certificate()), 0o600); err != nil {
			s.t.Fatal(err)
		}
		its := s.cfg.section("providers", p.Name, "settings")
		for name, value := range maps.Clone(its) {
			if text, ok := value.(string); ok {
				its[name] = strings.Replace(text, p.URL, proxy.srv.URL, 1)
			}
		}
		its["ca_file"] = file
		s.info.Sandbox.CAFile, s.info.Sandbox.Clouds[p.Cloud] = file, proxy.srv.URL
		s.start()
		return proxy
	}
	s.t.Fatalf("%s lives nowhere", address)
	return nil
}

// keepDraft stores a draft as a mail program does.
func (p *submitter) keepDraft(raw string) {
	p.t.Helper()
	cmd := p.imap.Append("Drafts", int64(len(raw)), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagDraft, imap.FlagSeen}})
	_, err := cmd.Write([]byte(raw))
	if err == nil {
		err = cmd.Close()
	}
	if _, waitErr := cmd.Wait(); err != nil || waitErr != nil {
		p.t.Fatalf("%s: %v, %v", p.address, err, waitErr)
	}
}

// upstreamDrafts are the provider's ids of the account's drafts.
func (p *submitter) upstreamDrafts() (ids []string) {
	p.t.Helper()
	var list []struct {
		ID       string
		Keywords []string
	}
	p.control("GET", "/control/users/"+p.address+"/messages", "", &list)
	for _, m := range list {
		if slices.Contains(m.Keywords, "$draft") {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// TestKilledWhileADraftIsMade: a gateway that is killed once the provider has the
// draft of what is submitted, and before anybody has heard of that, leaves none
// behind, whoever has made the Message-ID. It takes away none of its owner's
// either, though that has the same Message-ID and the same bytes and was stored
// right before.
func TestKilledWhileADraftIsMade(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil, "outlook")
	proxy := s.interpose(ada)
	p := s.submitter(ada)
	for _, tc := range []struct {
		name string
		// given is whether the program makes a Message-ID, and tries again until it
		// is answered; kept is whether it has stored a draft before.
		given, kept bool
	}{{"its own", true, false}, {"ours", false, false}, {"its own, and a draft of it", true, true}} {
		subject := "killed " + strings.ReplaceAll(tc.name, ",", "")
		raw := p.letter(grace, subject)
		if !tc.given {
			raw = raw[:strings.Index(raw, "Message-ID:")] + raw[strings.Index(raw, "Date:"):]
		}
		before, kept := p.upstream(), []string(nil)
		if tc.kept {
			p.keepDraft(raw)
			kept = p.upstreamDrafts()
		}
		trap := newTrap(atAnswer, kindsOf("microsoft").draft)
		proxy.set(trap)
		door, answered := s.smtpDoor(), make(chan error, 1)
		go func() {
			ok, err := p.trySend(door, raw, grace)
			for tc.given && !ok {
				time.Sleep(10 * time.Millisecond) // the gateway may be away
				ok, err = p.trySend(door, raw, grace)
			}
			answered <- err
		}()
		<-trap.caught
		s.halt()
		<-trap.gone // the plugin, too: it has not heard of the draft
		close(trap.dead)
		if left := p.upstreamDrafts(); len(left) != len(kept)+1 {
			t.Errorf("%s: %d drafts when all is dead, there were %d", tc.name, len(left), len(kept))
		}
		s.start()
		if err := <-answered; (err == nil) != tc.given {
			t.Errorf("%s: the program hears %v", tc.name, err)
		}
		p = s.submitterOf(p)
		p.eventually("it is sent once, and no draft of it is left: "+tc.name, func() bool {
			now, left := p.upstream()-before, p.upstreamDrafts()
			p.lastDiff = fmt.Sprintf("%d messages more, drafts %v, of which %v are its owner's", now, left, kept)
			return now == 1+len(kept) && slices.Equal(left, kept) && len(p.find(p.sent, subject)) == 1
		})
		if n := len(p.find("Drafts", subject)); n != len(kept) {
			t.Errorf("%s: mail programs see %d drafts", tc.name, n)
		}
	}
}
