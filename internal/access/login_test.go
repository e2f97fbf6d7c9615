package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
	"github.com/postern-mail/postern/store/bolt/bolttest"
)

// scene is an Access on a store, with a clock that stands still but for the
// waits that it is asked for.
type scene struct {
	t      *testing.T
	access *Access
	store  store.Store
	at     time.Time
	slept  time.Duration
	log    strings.Builder
	dir    string
}

var (
	here  = netip.MustParseAddr("192.0.2.7")
	there = netip.MustParseAddr("198.51.100.9")
)

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t, at: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC), dir: t.TempDir()}
	s.store = bolttest.Open(t, func(o *bolt.Options) { o.Path = filepath.Join(s.dir, "data") })
	s.anew()
	return s
}

// anew is what a restart leaves.
func (s *scene) anew() {
	s.access = New(s.store, Options{Hideable: []string{"BINARY", "Status=size", "APPENDLIMIT"}, Now: func() time.Time { return s.at }, Log: slog.New(slog.NewTextHandler(&s.log, nil)),
		Sleep: func(_ context.Context, d time.Duration) error { s.slept += d; return nil }})
}

func (s *scene) account(id, address string, change func(*store.Account)) {
	s.t.Helper()
	a := &store.Account{ID: id, Provider: "outpost", Subject: id, Address: address, State: store.AccountReady}
	if change != nil {
		change(a)
	}
	if err := s.store.Update(s.t.Context(), func(tx store.Tx) error { return tx.PutAccount(a) }); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) create(account string, scopes ...Scope) (*store.AppPassword, string) {
	s.t.Helper()
	p, secret, err := s.access.CreateAppPassword(s.t.Context(), CreateAppPassword{Account: account, Name: "mutt", Scopes: scopes, HideCaps: []string{"binary"}})
	if err != nil {
		s.t.Fatal(err)
	}
	return p, secret
}

func (s *scene) login(user, secret string, need ...Scope) (*Principal, error) {
	if len(need) == 0 {
		need = []Scope{ScopeIMAP, ScopeIMAPRead}
	}
	return s.access.Login(s.t.Context(), Login{User: user, Secret: secret, Mechanism: "PLAIN", Need: need, Remote: here})
}

func (s *scene) refused(want mail.Kind, err error) {
	s.t.Helper()
	if mail.KindOf(err) != want {
		s.t.Errorf("%v (%s), want %s", err, mail.KindOf(err), want)
	}
}

// ends waits until somebody is told to leave.
func (s *scene) ends(told <-chan struct{}) {
	s.t.Helper()
	select {
	case <-told:
	case <-time.After(time.Minute):
		s.t.Error("nobody is told to leave")
	}
}

func TestLogin(t *testing.T) {
	s := newScene(t)
	s.account("a1", "Ann@Example.com", nil)
	s.account("a2", "bob@example.com", nil)
	p, secret := s.create("a1")
	if !strings.Contains(secret, "-") || len(typed(secret)) != secretLength {
		t.Errorf("the secret is %q", secret)
	}
	spaced := strings.ToUpper(strings.ReplaceAll(secret, "-", " "))
	mistaken := strings.NewReplacer("0", "O", "1", "l").Replace(secret)
	for _, c := range [][2]string{{"ann@example.com", secret}, {"ANN@EXAMPLE.COM", spaced}, {" Ann@Example.com ", typed(secret)}, {"a1", mistaken}} {
		got, err := s.login(c[0], c[1])
		if err != nil {
			t.Fatalf("%q %q: %v", c[0], c[1], err)
		}
		if d := cmp.Diff(&Principal{Account: "a1", Password: p.ID, HideCaps: []string{"BINARY"}}, got, cmp.AllowUnexported(Principal{})); d != "" {
			t.Error(d)
		}
	}
	// Whatever is wrong about it, the words and the wait are the same.
	var answers []string
	for _, c := range [][2]string{{"ann@example.com", "0000-0000-0000-0000-0000-0000-0000"}, {"nobody@example.com", secret}, {"bob@example.com", secret}, {"", ""}, {"a1", ""}} {
		before := s.slept
		_, err := s.login(c[0], c[1])
		s.refused(mail.KindUnauthorized, err)
		answers = append(answers, fmt.Sprint(err, s.slept-before))
		s.anew()
	}
	if len(slices.Compact(answers)) != 1 {
		t.Errorf("the answers differ: %q", answers)
	}
	for _, word := range []string{secret, typed(secret), spaced, "0000-0000"} {
		if strings.Contains(s.log.String(), word) {
			t.Errorf("the log has %q", word)
		}
	}
}

func TestScopes(t *testing.T) {
	s := newScene(t)
	s.account("a1", "ann@example.com", nil)
	imap := []Scope{ScopeIMAP, ScopeIMAPRead}
	for _, c := range []struct {
		has      []Scope
		need     []Scope
		ok       bool
		readOnly bool
	}{
		{nil, imap, true, false}, {nil, []Scope{ScopeSMTP}, true, false},
		{[]Scope{ScopeIMAPRead}, imap, true, true}, {[]Scope{ScopeIMAPRead}, []Scope{ScopeSMTP}, false, false},
		{[]Scope{ScopeIMAPRead, ScopeIMAP}, imap, true, false},
		{[]Scope{ScopeSMTP}, imap, false, false}, {[]Scope{ScopeSMTP}, []Scope{ScopeSMTP}, true, false},
	} {
		_, secret := s.create("a1", c.has...)
		p, err := s.login("a1", secret, c.need...)
		if !c.ok {
			s.refused(mail.KindForbidden, err)
		} else if err != nil || p.ReadOnly != c.readOnly {
			t.Errorf("%v for %v: %+v %v", c.has, c.need, p, err)
		}
	}
	if s.slept != 0 {
		t.Errorf("a right password waited %s", s.slept)
	}
	for _, in := range []CreateAppPassword{{Account: "a1"}, {Account: "a1", Name: "x", Scopes: []Scope{}}, {Account: "a1", Name: strings.Repeat("x", maxName+1)}, {Account: "a1", Name: "a\nb"},
		{Account: "a1", Name: "x", Scopes: []Scope{"pop"}}, {Account: "a1", Name: "x", HideCaps: []string{"ID\r\n* BYE"}}} {
		_, _, err := s.access.CreateAppPassword(t.Context(), in)
		s.refused(mail.KindInvalid, err)
	}
	_, _, err := s.access.CreateAppPassword(t.Context(), CreateAppPassword{Account: "a9", Name: "x"})
	s.refused(mail.KindNotFound, err)
	for range maxPasswords {
		_, _, err = s.access.CreateAppPassword(t.Context(), CreateAppPassword{Account: "a1", Name: "x"})
	}
	s.refused(mail.KindInvalid, err)
}

// TestHideable: capabilities are those there are, by whatever spelling, and a
// wrong one is answered with them.
func TestHideable(t *testing.T) {
	s := newScene(t)
	s.account("a1", "ann@example.com", nil)
	in := CreateAppPassword{Account: "a1", Name: "mutt", HideCaps: []string{"status=SIZE", "appendlimit=35651584", "APPENDLIMIT", "binary"}}
	p, _, err := s.access.CreateAppPassword(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"APPENDLIMIT", "BINARY", "STATUS=SIZE"}, p.HideCaps); d != "" {
		t.Error(d)
	}
	for _, wrong := range []string{"CONDSTORE", "status", "", "STATUS=", "BINARY ", "ID\r\n* BYE", strings.Repeat("x", 4000)} {
		in.HideCaps = []string{"BINARY", wrong}
		_, _, err := s.access.CreateAppPassword(t.Context(), in)
		s.refused(mail.KindInvalid, err)
		if text := fmt.Sprint(err); !strings.HasSuffix(text, "is none of APPENDLIMIT, BINARY, Status=size") || len(text) > 200 || strings.ContainsAny(text, "\r\n") {
			t.Errorf("%.40q: %q", wrong, text)
		}
	}
}

// TestRightButNotNow: what is no fault of the password is never said as a wrong
// one, and nobody waits for it.
func TestRightButNotNow(t *testing.T) {
	s := newScene(t)
	s.account("a1", "ann@example.com", func(a *store.Account) { a.State = store.AccountGrantExpired })
	s.account("a2", "bob@example.com", func(a *store.Account) { a.State, a.Paused = store.AccountPaused, true })
	_, one := s.create("a1")
	_, two := s.create("a2")
	for range userLimit + 5 {
		_, err := s.login("ann@example.com", one)
		s.refused(mail.KindGrantExpired, err)
		if !strings.Contains(err.Error(), "reconnect") {
			t.Fatalf("it does not say what to do: %v", err)
		}
	}
	_, err := s.login("bob@example.com", two)
	s.refused(mail.KindUnavailable, err)
	_, err = s.login("bob@example.com", one)
	s.refused(mail.KindUnauthorized, err)
}

func TestAPIKeyAsBearer(t *testing.T) {
	s := newScene(t)
	s.account("a1", "ann@example.com", nil)
	s.account("a2", "both@example.com", nil)
	s.account("a3", "BOTH@example.com", nil)
	file := filepath.Join(s.dir, "admin.key")
	if err := s.access.RenewAdminKey(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(string(raw))
	bearer := func(user, secret string) (*Principal, error) {
		return s.access.Login(t.Context(), Login{User: user, Secret: secret, Bearer: true, Need: []Scope{ScopeIMAP}, Remote: here})
	}
	p, err := bearer("Ann@example.com", key)
	if err != nil || p.Account != "a1" || p.Password != "" || p.ReadOnly {
		t.Fatalf("%+v %v", p, err)
	}
	if p, err := bearer("a3", key); err != nil || p.Account != "a3" {
		t.Errorf("%+v %v", p, err)
	}
	_, err = bearer("both@example.com", key)
	s.refused(mail.KindConflict, err)
	_, err = bearer("nobody@example.com", key)
	s.refused(mail.KindUnauthorized, err)
	_, err = bearer("ann@example.com", key+"x")
	s.refused(mail.KindUnauthorized, err)
	// As a password, where a mail program keeps it, it is none.
	_, err = s.login("ann@example.com", key)
	s.refused(mail.KindUnauthorized, err)
	_, secret := s.create("a1")
	if p, err := bearer("ann@example.com", secret); err != nil || p.Password == "" {
		t.Errorf("%+v %v", p, err)
	}
	// A new key ends what the former one had opened.
	ended, release := s.access.Revoked(p)
	defer release()
	if err := s.access.RenewAdminKey(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	s.ends(ended)
	late, release := s.access.Revoked(p)
	defer release()
	s.ends(late)
}

func TestRevoke(t *testing.T) {
	s := newScene(t)
	s.account("a1", "ann@example.com", nil)
	first, one := s.create("a1")
	second, two := s.create("a1", ScopeSMTP)
	p1, err := s.login("a1", one)
	p2, err2 := s.login("a1", two, ScopeSMTP)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	ended, release := s.access.Revoked(p1)
	other, releaseOther := s.access.Revoked(p2)
	defer release()
	if !s.access.ReadBy("a1") {
		t.Error("somebody reads it")
	}
	for range 2 { // again is no error
		if _, err := s.access.RevokeAppPassword(t.Context(), first.ID); err != nil {
			t.Fatal(err)
		}
	}
	s.ends(ended)
	select {
	case <-other:
		t.Error("another one's connection ended, too")
	default:
	}
	if s.access.ReadBy("a1") {
		t.Error("nobody reads it any more")
	}
	// It is known, so that it does not lock out the others of that machine.
	for range 3 * userLimit {
		_, err = s.login("a1", one)
		s.refused(mail.KindUnauthorized, err)
	}
	if _, err := s.login("a1", two, ScopeSMTP); err != nil {
		t.Error(err)
	}
	late, releaseLate := s.access.Revoked(p1)
	defer releaseLate()
	s.ends(late)
	list, err := s.access.AppPasswords(t.Context(), "a1")
	if err != nil || len(list) != 1 || list[0].ID != second.ID {
		t.Errorf("%v %v", list, err)
	}
	_, err = s.access.RevokeAppPassword(t.Context(), "pnone")
	s.refused(mail.KindNotFound, err)
	// Gone with its account.
	if err := s.store.Update(t.Context(), func(tx store.Tx) error { return tx.DeleteAccount("a1") }); err != nil {
		t.Fatal(err)
	}
	s.access.Disconnected("a1")
	s.ends(other)
	releaseOther()
	_, err = s.login("a1", two, ScopeSMTP)
	s.refused(mail.KindUnauthorized, err)
	gone, releaseGone := s.access.Revoked(p2)
	defer releaseGone()
	s.ends(gone)
}

// TestRevokedAreForgotten: an account whose passwords change every day does not
// grow for ever.
func TestRevokedAreForgotten(t *testing.T) {
	s := newScene(t)
	s.account("a1", "ann@example.com", nil)
	for range keptRevoked + 5 {
		p, _ := s.create("a1")
		s.at = s.at.Add(time.Hour)
		if _, err := s.access.RevokeAppPassword(t.Context(), p.ID); err != nil {
			t.Fatal(err)
		}
	}
	err := s.store.View(t.Context(), func(tx store.Tx) error {
		all, err := tx.AppPasswordsOf("a1")
		if len(all) != keptRevoked {
			t.Errorf("%d are kept", len(all))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestLastUse is seen at once and written later.
func TestLastUse(t *testing.T) {
	s := newScene(t)
	s.account("a1", "ann@example.com", nil)
	p, secret := s.create("a1")
	if _, err := s.login("a1", secret); err != nil {
		t.Fatal(err)
	}
	used := func() time.Time {
		list, err := s.access.AppPasswords(t.Context(), "a1")
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		return list[0].LastUsedAt
	}
	if !used().Equal(s.at) {
		t.Errorf("used %s", used())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.access.Run(ctx); err != nil { // the end writes what is left
		t.Fatal(err)
	}
	first := s.at
	s.at = s.at.Add(time.Hour)
	s.anew()
	if !used().Equal(first) {
		t.Errorf("after a restart: used %s, want %s", used(), first)
	}
	_, release := s.access.Revoked(&Principal{Account: "a1", Password: p.ID})
	release() // somebody was there until now
	if !used().Equal(s.at) {
		t.Errorf("used %s, want %s", used(), s.at)
	}
}
