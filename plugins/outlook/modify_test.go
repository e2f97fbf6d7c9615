package outlook_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func sha(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func (w *world) modify(req *provider.ModifyRequest) []provider.Result {
	w.t.Helper()
	req.Call = w.call()
	resp, err := w.p.Modify(w.t.Context(), req)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(resp.Results) != len(req.IDs) {
		w.t.Fatalf("%d results for %d messages", len(resp.Results), len(req.IDs))
	}
	return resp.Results
}

func TestModifyKeywords(t *testing.T) {
	w := connected(t)
	var ids []string
	for i := range 45 {
		ids = append(ids, w.deliver(ada, fmt.Sprintf("m%d", i)))
	}
	for _, step := range []struct {
		add, remove, want []string
	}{
		{[]string{mail.Seen}, nil, []string{mail.Seen}},
		{[]string{mail.Flagged, "red", "blue_x0020_sky"}, nil, []string{mail.Flagged, mail.Seen, "blue_x0020_sky", "red"}},
		{[]string{"RED", "green"}, []string{mail.Seen}, []string{mail.Flagged, "blue_x0020_sky", "green", "red"}},
		{nil, []string{mail.Flagged, "red", "absent"}, []string{"blue_x0020_sky", "green"}},
		{[]string{mail.Draft, "$junk"}, nil, []string{"blue_x0020_sky", "green"}}, // not for us to set
	} {
		for _, r := range w.modify(&provider.ModifyRequest{IDs: ids, AddKeywords: step.add, RemoveKeywords: step.remove}) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			if diff := cmp.Diff(step.want, r.Message.Keywords); diff != "" || r.Fields&mail.FieldKeywords == 0 {
				t.Fatalf("+%v -%v: %s", step.add, step.remove, diff)
			}
		}
		one := ids[len(ids)/2]
		if diff := cmp.Diff(step.want, w.fetch(one)[one].Keywords); diff != "" {
			t.Fatalf("+%v -%v, read again: %s", step.add, step.remove, diff)
		}
	}
}

func TestModifyMoves(t *testing.T) {
	w := connected(t)
	inbox, box := w.mailboxes()[mail.RoleInbox].ID, w.createMailbox("", "Box").ID
	a, b := w.deliver(ada, "a"), w.deliver(ada, "b")
	gone := w.deliver(ada, "gone")
	if err := w.sandbox.Microsoft().Delete(ada, gone); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time they are there already
		results := w.modify(&provider.ModifyRequest{IDs: []string{a, gone, b}, AddKeywords: []string{mail.Seen}, AddMailboxes: []string{box}, RemoveMailboxes: []string{inbox}})
		for i, id := range []string{a, gone, b} {
			r := results[i]
			if id == gone {
				wantKind(t, r.Err, mail.KindNotFound)
				continue
			}
			if r.Err != nil || r.ID != id || r.Message.ProviderID != id || !slices.Equal(r.Message.Mailboxes, []string{box}) || !r.Message.HasKeyword(mail.Seen) {
				t.Errorf("%+v", r)
			}
		}
	}
	if got := w.truth(ada)[a].Mailboxes; !slices.Equal(got, []string{box}) {
		t.Errorf("really in %v", got)
	}
	for _, bad := range []*provider.ModifyRequest{
		{IDs: []string{a}, RemoveMailboxes: []string{box}},
		{IDs: []string{a}, AddMailboxes: []string{inbox, box}},
	} {
		bad.Call = w.call()
		_, err := w.p.Modify(t.Context(), bad)
		wantKind(t, err, mail.KindInvalid)
	}
	results := w.modify(&provider.ModifyRequest{IDs: []string{a}, AddMailboxes: []string{"nonsense"}})
	wantKind(t, results[0].Err, mail.KindNotFound)
}

func TestCategoriesOfOthersAreKept(t *testing.T) {
	w := connected(t)
	id := w.deliver(ada, "m")
	// Twice another client is faster: the etag does not fit any more.
	if err := w.sandbox.Faults().Put(traffic.Fault{Match: "PATCH /me/messages", Status: 412, Times: 2}); err != nil {
		t.Fatal(err)
	}
	r := w.modify(&provider.ModifyRequest{IDs: []string{id}, AddKeywords: []string{"mine"}})[0]
	if r.Err != nil || !r.Message.HasKeyword("mine") {
		t.Errorf("%+v", r)
	}
}

func TestDeleteAndPurge(t *testing.T) {
	w := connected(t)
	trash := w.mailboxes()[mail.RoleTrash].ID
	a, b := w.deliver(ada, "a"), w.deliver(ada, "b")
	for range 2 {
		resp, err := w.p.Delete(t.Context(), &provider.DeleteRequest{Call: w.call(), IDs: []string{a}})
		if err != nil || resp.Results[0].Err != nil {
			t.Fatal(err, resp)
		}
		if got := w.truth(ada)[a].Mailboxes; !slices.Equal(got, []string{trash}) {
			t.Fatalf("in %v", got)
		}
	}
	for range 2 {
		resp, err := w.p.Purge(t.Context(), &provider.DeleteRequest{Call: w.call(), IDs: []string{a, b}})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range resp.Results {
			if r.Err != nil {
				t.Error(r.Err)
			}
		}
		if n := len(w.truth(ada)); n != 0 {
			t.Fatalf("%d messages left", n)
		}
	}
}

func TestPurgeWithoutPermanentDelete(t *testing.T) {
	w := connected(t)
	a := w.deliver(ada, "a")
	if err := w.sandbox.Faults().Put(traffic.Fault{Match: "permanentDelete", Status: 405}); err != nil {
		t.Fatal(err)
	}
	resp, err := w.p.Purge(t.Context(), &provider.DeleteRequest{Call: w.call(), IDs: []string{a}})
	if err != nil || resp.Results[0].Err != nil {
		t.Fatal(err, resp)
	}
	if _, ok := w.truth(ada)[a]; ok {
		t.Error("still there")
	}
}

func TestCopy(t *testing.T) {
	w := connected(t)
	inbox, box := w.mailboxes()[mail.RoleInbox].ID, w.createMailbox("", "Box").ID
	a, b := w.deliver(ada, "a"), w.deliver(ada, "b")
	var copies []string
	for range 2 { // the second call finds what the first has made
		resp, err := w.p.Copy(t.Context(), &provider.CopyRequest{Call: w.call(), OperationID: "op-1", IDs: []string{a, b}, Mailbox: box})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range resp.Results {
			if r.Err != nil || r.Message.ProviderID == r.ID || !slices.Equal(r.Message.Mailboxes, []string{box}) {
				t.Fatalf("%+v", r)
			}
			got = append(got, r.Message.ProviderID)
		}
		if copies != nil && !slices.Equal(copies, got) {
			t.Errorf("copies %v became %v", copies, got)
		}
		copies = got
	}
	where := map[string]int{}
	for _, info := range w.truth(ada) {
		where[info.Mailboxes[0]]++
	}
	if diff := cmp.Diff(map[string]int{inbox: 2, box: 2}, where); diff != "" {
		t.Error(diff)
	}
	// Into the folder where the original is.
	resp, err := w.p.Copy(t.Context(), &provider.CopyRequest{Call: w.call(), OperationID: "op-2", IDs: []string{a}, Mailbox: inbox})
	if err != nil || resp.Results[0].Err != nil || resp.Results[0].Message.ProviderID == a {
		t.Errorf("%v %+v", err, resp)
	}
}

// TestCutCopyIsFound: a copy that was made and whose answer was lost is found, one
// for each original. One that was not made stays in doubt, and what lay there
// before is not taken for it.
func TestCutCopyIsFound(t *testing.T) {
	w := connected(t)
	box := w.createMailbox("", "Box").ID
	ids := []string{w.deliver(ada, "a"), w.deliver(ada, "b"), w.deliver(ada, "a")} // two of one Message-ID
	copied := func(fault traffic.Fault) []provider.Result {
		t.Helper()
		if err := w.sandbox.Faults().Put(fault); err != nil {
			t.Fatal(err)
		}
		defer w.sandbox.Faults().Clear()
		resp, err := w.p.Copy(t.Context(), &provider.CopyRequest{Call: w.call(), IDs: ids, Mailbox: box})
		if err != nil {
			t.Fatal(err)
		}
		return resp.Results
	}
	var made []string
	for _, r := range copied(traffic.Fault{Match: "$batch", CutAfter: true, Times: 1}) {
		if r.Err != nil || !slices.Equal(r.Message.Mailboxes, []string{box}) {
			t.Errorf("%+v", r)
		}
		made = append(made, r.Message.ProviderID)
	}
	if slices.Sort(made); len(slices.Compact(made)) != len(ids) {
		t.Errorf("copied to %v", made)
	}
	w.clock.Forward(time.Minute)
	for _, r := range copied(traffic.Fault{Match: "POST /me/messages/{id}/copy", Status: 504}) {
		wantKind(t, r.Err, mail.KindOutcomeUnknown)
	}
	if n := len(w.truth(ada)); n != 2*len(ids) {
		t.Errorf("there are %d messages", n)
	}
}
