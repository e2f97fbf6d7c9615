package gmail_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/sandbox"
	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// fill delivers messages, the later ones older.
func (w *world) fill(n int) {
	w.t.Helper()
	for i := range n {
		w.deliver(alan, fmt.Sprintf("m%d", i), func(d *cloud.Delivery) { d.Date = time.Now().Add(-time.Duration(i+1) * time.Minute) })
	}
}

// wantError checks an error's kind, and its code where one is given.
func wantError(t *testing.T, err error, kind mail.Kind, code ...string) {
	t.Helper()
	var e *mail.Error
	if mail.KindOf(err) != kind || len(code) > 0 && (!errors.As(err, &e) || e.Code != code[0]) {
		t.Errorf("error %v of kind %q, want %q %v", err, mail.KindOf(err), kind, code)
	}
}

// like compares what a feed told with the truth.
func (w *world) like(items []mail.Item) {
	w.t.Helper()
	told, want := map[string]string{}, map[string]string{}
	for _, it := range items {
		if it.Kind == mail.ItemGone {
			delete(told, it.Message.ProviderID)
			continue
		}
		told[it.Message.ProviderID] = fmt.Sprint(it.Message.Mailboxes, it.Message.Keywords)
	}
	for id, m := range w.truth(alan) {
		slices.Sort(m.Mailboxes)
		slices.Sort(m.Keywords)
		want[id] = fmt.Sprint(m.Mailboxes, m.Keywords)
	}
	if diff := cmp.Diff(want, told); diff != "" {
		w.t.Error(diff)
	}
}

func TestFirstSyncSpendsLittle(t *testing.T) {
	const n = 240
	w := connected(t)
	w.fill(n)
	w.sandbox.Counters().Reset()
	items, _ := w.mustChanges(nil)
	w.like(items)
	r := w.report()
	// A profile, pages of five hundred, and each message once.
	least := int64(1 + 5*((n+499)/500) + 20*n)
	if r.UnitsSpent > least*12/10 {
		t.Errorf("%d units were spent, %d would do: %v", r.UnitsSpent, least, r.Units)
	}
	if r.UnitsSpent < least {
		t.Errorf("%d units were counted, fewer than can be: %v", r.UnitsSpent, r.Units)
	}
	if len(r.Refusals) > 0 {
		t.Errorf("requests were refused: %v", r.Refusals)
	}
}

// TestPacing reads more than a window of the quota takes, from many calls at
// once. (By the second, as projects with the old table are held to it.)
func TestPacing(t *testing.T) {
	const n = 160
	w := connected(t, func(o *sandbox.Options) {
		q := &o.GoogleSettings.Mail.Quota
		q.OldTable, q.UserUnits, q.UserWindow, q.ProjectUnits = true, 1000, time.Second, -1
	})
	w.conf.Settings["quota_table"], w.conf.Settings["quota_units"] = "old", "60000"
	w.configure()
	w.fill(n)
	ended := make(chan error, 4)
	for _, prio := range []provider.Priority{provider.Backfill, provider.Delta, provider.Write, provider.Interactive} {
		go func() {
			ended <- w.p.Changes(t.Context(), &provider.ChangesRequest{Call: provider.Call{Account: w.account, Priority: prio}}, func(*mail.Batch) error { return nil })
		}()
	}
	for range 4 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	r := w.report()
	if r.UnitsSpent < 4*5*n {
		t.Errorf("%d units were spent: %v", r.UnitsSpent, r.Units)
	}
	if len(r.Refusals) > 0 {
		t.Errorf("requests were refused: %v", r.Refusals)
	}
}

var errStop = errors.New("enough")

func TestFirstSyncGoesOnWhereItStopped(t *testing.T) {
	w := connected(t, unlimited)
	w.fill(250)
	var cur mail.Cursor
	var all []mail.Item
	for stops := 0; ; stops++ {
		done := false
		err := w.p.Changes(t.Context(), &provider.ChangesRequest{Call: w.call(), Cursor: cur}, func(b *mail.Batch) error {
			all, cur, done = append(all, b.Items...), b.Next, b.Done
			return errStop // after every batch
		})
		if !errors.Is(err, errStop) {
			t.Fatal(err)
		}
		if stops == 0 {
			// What comes while the listing goes on is told by the history.
			w.deliver(alan, "meanwhile")
			w.sandbox.Counters().Reset()
		}
		if done {
			break
		}
	}
	w.like(all)
	if r := w.report(); r.Units["gmail.users.messages.get"] > 20*(150+1)+20 || r.Count("GET", "/gmail/v1/users/me/profile") > 0 {
		t.Errorf("what was told is read again: %v", r.Units)
	}
}

// TestHistoryIsCheapForMarks: what is read or flagged is told without asking for
// the messages.
func TestHistoryIsCheapForMarks(t *testing.T) {
	w := connected(t)
	w.fill(3)
	items, cur := w.mustChanges(nil)
	id := items[0].Message.ProviderID
	edit := func(e cloud.Edit) {
		t.Helper()
		if err := w.sandbox.Google().Edit(alan, id, e); err != nil {
			t.Fatal(err)
		}
	}
	edit(cloud.Edit{AddKeywords: []string{mail.Seen, mail.Flagged}})
	edit(cloud.Edit{RemoveKeywords: []string{mail.Flagged}})
	w.sandbox.Counters().Reset()
	told, next := w.mustChanges(cur)
	if len(told) != 1 || told[0].Message.ProviderID != id || told[0].Fields != mail.FieldSeen|mail.FieldFlagged ||
		!told[0].Message.HasKeyword(mail.Seen) || told[0].Message.HasKeyword(mail.Flagged) || told[0].Message.Version <= items[0].Message.Version {
		t.Errorf("told %+v", told)
	}
	if r := w.report(); r.UnitsSpent != 2 {
		t.Errorf("%d units: %v", r.UnitsSpent, r.Units)
	}
	edit(cloud.Edit{Mailbox: "Projects"})
	told, _ = w.mustChanges(next)
	if len(told) != 1 || told[0].Fields != mail.FieldKeywords|mail.FieldMailboxes || !slices.Contains(told[0].Message.Mailboxes, "ALL") || slices.Contains(told[0].Message.Mailboxes, "INBOX") {
		t.Errorf("told %+v", told)
	}
}

func TestHistoryHasEmptyPagesAndGapsAndRemovals(t *testing.T) {
	w := connected(t, func(o *sandbox.Options) { o.GoogleSettings.Mail.EmptyHistoryPages = true })
	w.fill(2)
	items, cur := w.mustChanges(nil)
	gone := items[1].Message.ProviderID
	if err := w.sandbox.Google().Delete(alan, gone); err != nil {
		t.Fatal(err)
	}
	short := w.deliver(alan, "short-lived")
	if err := w.sandbox.Google().Delete(alan, short); err != nil {
		t.Fatal(err)
	}
	stays := w.deliver(alan, "stays")
	told, next := w.mustChanges(cur)
	kinds := map[string]mail.ItemKind{}
	for _, it := range told {
		kinds[it.Message.ProviderID] = it.Kind
	}
	if diff := cmp.Diff(map[string]mail.ItemKind{gone: mail.ItemGone, short: mail.ItemGone, stays: mail.ItemPresent}, kinds); diff != "" {
		t.Error(diff)
	}
	if again, _ := w.mustChanges(next); len(again) > 0 {
		t.Errorf("told again: %+v", again)
	}
}

func TestCursorsThatAreNoGood(t *testing.T) {
	w := connected(t)
	w.fill(1)
	_, cur := w.mustChanges(nil)
	var doc map[string]any
	if err := json.Unmarshal(cur, &doc); err != nil {
		t.Fatal(err)
	}
	id, err := strconv.ParseUint(doc["h"].(string), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	with := func(change map[string]any) mail.Cursor {
		other := map[string]any{}
		for k, v := range doc {
			other[k] = v
		}
		for k, v := range change {
			other[k] = v
		}
		data, err := json.Marshal(other)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, c := range map[string]mail.Cursor{
		"future history": with(map[string]any{"h": strconv.FormatUint(id+1_000_000, 10)}),
		"first history":  with(map[string]any{"h": "1"}),
		"other version":  with(map[string]any{"v": 7}),
		"no history":     with(map[string]any{"h": "0"}),
		"old page":       with(map[string]any{"list": true, "page": "00000000000000000000"}),
		"old history":    with(map[string]any{"page": "no-such-page"}),
		"huge":           append(with(nil), make([]byte, 9<<10)...),
	} {
		if _, _, err := w.changes(c); mail.KindOf(err) != mail.KindCursorExpired {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.sandbox.Google().ForgetCursors(alan); err != nil {
		t.Fatal(err)
	}
	_, _, err = w.changes(cur)
	wantError(t, err, mail.KindCursorExpired)
	if items, _ := w.mustChanges(nil); len(items) != 1 {
		t.Errorf("%d messages", len(items))
	}
}

// TestFutureHistoryIsNoHistory: should Gmail answer such an id with nothing, its
// own is behind.
func TestFutureHistoryIsNoHistory(t *testing.T) {
	w := connected(t, func(o *sandbox.Options) { o.GoogleSettings.Mail.FutureHistoryOK = true })
	_, _, err := w.changes(mail.Cursor(`{"v":1,"h":"99999999999"}`))
	wantError(t, err, mail.KindCursorExpired, "future_history")
}

func TestThrottlingIsWaitedFor(t *testing.T) {
	for _, status := range []int{403, 429, 503} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			w := connected(t)
			w.fill(3)
			w.fault(traffic.Fault{User: alan, Match: "GET /gmail/v1/users/me/messages", Status: status, Times: 2})
			items, _ := w.mustChanges(nil)
			w.like(items)
		})
	}
}

func TestPartsOfBatchesThatAreRefusedAreReadAgain(t *testing.T) {
	w := connected(t)
	w.fill(20)
	w.fault(traffic.Fault{User: alan, Match: "GET /gmail/v1/users/me/messages/{id}", Status: 429, Times: 5})
	items, _ := w.mustChanges(nil)
	w.like(items)
}

func TestMissingMessagesFailAlone(t *testing.T) {
	w := connected(t)
	id := w.deliver(alan, "here")
	gone := w.deliver(alan, "gone")
	if err := w.sandbox.Google().Delete(alan, gone); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []provider.FetchMode{provider.FetchMetadata, provider.FetchRaw} {
		s := &recorder{}
		if err := w.p.Fetch(t.Context(), &provider.FetchRequest{Call: w.call(), Mode: mode, IDs: []string{gone, id, "no id"}}, s); err != nil {
			t.Fatal(err)
		}
		if len(s.Messages)+len(s.Raws) != 1 || len(s.Failures) != 2 {
			t.Errorf("mode %d: %+v", mode, s)
		}
		wantError(t, s.Failures[gone], mail.KindNotFound)
		wantError(t, s.Failures["no id"], mail.KindNotFound)
	}
}

func TestCancelledCallsEnd(t *testing.T) {
	w := connected(t)
	w.fill(3)
	ctx, cancel := context.WithCancel(t.Context())
	err := w.p.Changes(ctx, &provider.ChangesRequest{Call: w.call()}, func(*mail.Batch) error { cancel(); return nil })
	wantError(t, err, mail.KindUnavailable)
}

// TestAMessageThatGmailNeverGivesHoldsNothingUp: listings and history tell that
// it is there, and everything else; asked for, it fails alone.
func TestAMessageThatGmailNeverGivesHoldsNothingUp(t *testing.T) {
	w := connected(t)
	w.fill(5)
	old := w.deliver(alan, "old")
	broken := func(id string) { w.fault(traffic.Fault{Match: "/messages/" + id, Status: 409}) } // which is not tried again within the call
	broken(old)
	listed, cur := w.mustChanges(nil)
	fresh := w.deliver(alan, "fresh")
	w.deliver(alan, "good")
	broken(fresh)
	if err := w.sandbox.Google().Edit(alan, old, cloud.Edit{Mailbox: "TRASH"}); err != nil {
		t.Fatal(err)
	}
	told, _ := w.mustChanges(cur)
	for _, tc := range []struct {
		items  []mail.Item
		bad    []string
		others int
	}{{listed, []string{old}, 5}, {told, []string{old, fresh}, 1}} {
		others := 0
		for _, it := range tc.items {
			if bad := slices.Contains(tc.bad, it.Message.ProviderID); bad != (it.Fields == 0) || it.Kind != mail.ItemPresent {
				t.Errorf("%s: kind %s, fields %b", it.Message.ProviderID, it.Kind, it.Fields)
			} else if !bad {
				others++
			}
		}
		if others != tc.others || len(tc.items) != others+len(tc.bad) {
			t.Errorf("%d items, %d of them whole", len(tc.items), others)
		}
	}
}
