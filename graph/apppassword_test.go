package graph_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/graph/service"
)

// TestAppPasswords: the scopes' words are the schema's outside and ours inside,
// and the secret is in the answer to the mutation alone.
func TestAppPasswords(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	r := w.ask(`mutation($a: ID!) { createAppPassword(input: {account: $a, name: "Thunderbird", scopes: [IMAP_READ, SMTP], hideCapabilities: ["BINARY"]}) {
		password appPassword { id name scopes hideCapabilities } } }`, "a", a.ID).ok()
	want := service.AppPasswordInput{Account: a.ID, Name: "Thunderbird", Scopes: []string{"imap:read", "smtp"}, HideCaps: []string{"BINARY"}}
	if diff := cmp.Diff(want, w.fake.newPassword); diff != "" {
		t.Error(diff)
	}
	if r.str("createAppPassword.password") != "abcd-efgh" {
		t.Error(r.Data)
	}
	shown := map[string]any{"id": "p-1", "name": "Thunderbird", "scopes": []any{"IMAP_READ", "SMTP"}, "hideCapabilities": []any{"BINARY"}}
	if diff := cmp.Diff(shown, r.get("createAppPassword.appPassword")); diff != "" {
		t.Error(diff)
	}
	r = w.ask(`query($a: ID!) { account(id: $a) { appPasswords { id lastUsedAt } } }`, "a", a.ID).ok()
	if diff := cmp.Diff([]any{map[string]any{"id": "p-1", "lastUsedAt": epoch0.Format("2006-01-02T15:04:05Z")}}, r.get("account.appPasswords")); diff != "" {
		t.Error(diff)
	}
	w.ask(`mutation($a: ID!) { createAppPassword(input: {account: $a, name: "x", scopes: [POP]}) { password } }`, "a", a.ID).refused("BAD_INPUT")
	if r := w.ask(`mutation { revokeAppPassword(id: "p-1") }`).ok(); r.str("revokeAppPassword") != "p-1" {
		t.Error(r.Data)
	}
	w.ask(`mutation { revokeAppPassword(id: "p-1") }`).refused("NOT_FOUND")
}
