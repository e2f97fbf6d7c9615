package gmail

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	api "google.golang.org/api/gmail/v1"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// told are the records of a history in a few words each; it goes through all
// pages and checks what must be true of every page.
func told(t *testing.T, w *world, start uint64, change ...func(*api.UsersHistoryListCall)) (words []string, cursor uint64, pages int) {
	t.Helper()
	last, token := start, ""
	for {
		call := w.users(alan).History.List("me").StartHistoryId(start)
		for _, f := range change {
			f(call)
		}
		if token != "" {
			call.PageToken(token)
		}
		page, err := call.Do()
		must(t, page, err)
		pages++
		for _, h := range page.History {
			if h.Id <= last {
				t.Errorf("record %d after %d", h.Id, last)
			}
			last = h.Id
			for _, m := range h.Messages {
				if len(m.LabelIds) > 0 || m.ThreadId == "" {
					t.Errorf("messages: %+v", m)
				}
			}
			for range h.MessagesAdded {
				words = append(words, "added")
			}
			for range h.MessagesDeleted {
				words = append(words, "deleted")
			}
			for _, l := range h.LabelsAdded {
				words = append(words, fmt.Sprint("+", l.LabelIds))
			}
			for _, l := range h.LabelsRemoved {
				words = append(words, fmt.Sprint("-", l.LabelIds))
			}
		}
		if token = page.NextPageToken; token == "" {
			return words, page.HistoryId, pages
		}
	}
}

func busy(w *world) (one string) {
	one = w.deliver(letter("One"))
	msgs := w.users(alan).Messages
	_, err := msgs.Modify("me", one, &api.ModifyMessageRequest{AddLabelIds: []string{"STARRED"}, RemoveLabelIds: []string{"UNREAD"}}).Do()
	must(w.T, one, err)
	_, err = msgs.Modify("me", one, &api.ModifyMessageRequest{AddLabelIds: []string{"STARRED"}}).Do() // nothing new
	must(w.T, one, err)
	two := w.deliver(letter("Two"), func(d *cloud.Delivery) { d.Mailbox = "Work" })
	_, err = msgs.Trash("me", one).Do()
	must(w.T, one, err)
	must(w.T, two, msgs.Delete("me", two).Do())
	return one
}

var busyWords = []string{"added", "+[STARRED]", "-[UNREAD]", "added", "+[TRASH]", "-[INBOX]", "deleted"}

func TestHistory(t *testing.T) {
	for _, empty := range []bool{false, true} {
		w := newWorld(t, func(s *Settings, _ *Options) { s.EmptyHistoryPages = empty })
		start := must2p(t)(w.users(alan).GetProfile("me").Do()).HistoryId
		if words, cursor, pages := told(t, w, start); len(words) > 0 || cursor != start || pages != 1 {
			t.Errorf("nothing happened: %v %d %d", words, cursor, pages)
		}
		one := busy(w)
		words, cursor, _ := told(t, w, start)
		if diff := cmp.Diff(busyWords, words); diff != "" {
			t.Error(diff)
		}
		if now := must2p(t)(w.users(alan).GetProfile("me").Do()).HistoryId; cursor != now || now-start == 5 {
			t.Errorf("from %d to %d, the profile says %d: ids have gaps", start, cursor, now)
		}
		words, again, pages := told(t, w, start, func(c *api.UsersHistoryListCall) { c.MaxResults(2) })
		wantPages := 3
		if empty {
			wantPages = 4
		}
		if diff := cmp.Diff(busyWords, words); diff != "" || again != cursor || pages != wantPages {
			t.Errorf("%d pages: %s", pages, diff)
		}
		m, err := w.users(alan).Messages.Get("me", one).Do()
		must(t, m, err)
		if words, _, _ := told(t, w, m.HistoryId); !slices.Equal(words, []string{"deleted"}) {
			t.Errorf("after the history id of a message: %v", words)
		}
	}
}

func TestHistoryIsNarrowed(t *testing.T) {
	w := newWorld(t)
	start := must2p(t)(w.users(alan).GetProfile("me").Do()).HistoryId
	busy(w)
	words, _, _ := told(t, w, start, func(c *api.UsersHistoryListCall) { c.HistoryTypes("messageAdded", "labelRemoved") })
	if diff := cmp.Diff([]string{"added", "-[UNREAD]", "added", "-[INBOX]"}, words); diff != "" {
		t.Error(diff)
	}
	words, _, _ = told(t, w, start, func(c *api.UsersHistoryListCall) { c.LabelId("Label_1") })
	if diff := cmp.Diff([]string{"added", "deleted"}, words); diff != "" {
		t.Error(diff)
	}
	words, _, _ = told(t, w, start, func(c *api.UsersHistoryListCall) { c.LabelId("INBOX").HistoryTypes("labelRemoved") })
	if diff := cmp.Diff([]string{"-[UNREAD]", "-[INBOX]"}, words); diff != "" { // the trashed one was in the inbox
		t.Error(diff)
	}
	// A page that the filter leaves empty still has a next one.
	page, err := w.users(alan).History.List("me").StartHistoryId(start).MaxResults(1).HistoryTypes("messageDeleted").Do()
	if must(t, page, err); len(page.History) > 0 || page.NextPageToken == "" {
		t.Errorf("%+v", page)
	}
	_, err = w.users(alan).History.List("me").StartHistoryId(start).HistoryTypes("nonsense").Do()
	refused(t, err, 400, "badRequest", "Invalid value at 'history_types'")
	_, err = w.users(alan).History.List("me").StartHistoryId(start).PageToken("nonsense").Do()
	refused(t, err, 400, "invalidArgument", "Invalid pageToken")
}

func TestHistoryThatIsGone(t *testing.T) {
	w := newWorld(t)
	history := w.users(alan).History
	_, err := history.List("me").Do()
	refused(t, err, 400, "invalidArgument", "Missing/invalid parameter: startHistoryId")
	one := w.deliver(letter("One"))
	first := must2(t)(w.users(alan).Messages.Get("me", one).Do()).HistoryId
	_, err = history.List("me").StartHistoryId(1).Do()
	refused(t, err, 404, "notFound", "Requested entity was not found.")
	_, err = history.List("me").StartHistoryId(first + 100_000).Do()
	refused(t, err, 404, "notFound", "Requested entity was not found.")

	w.pass(6 * 24 * time.Hour)
	w.deliver(letter("Two"))
	if words, _, _ := told(t, w, first); len(words) != 1 {
		t.Errorf("after six days: %v", words)
	}
	w.pass(2 * 24 * time.Hour)
	if words, _, _ := told(t, w, first); len(words) != 1 { // the first record is gone, but it is not asked for
		t.Errorf("after eight days: %v", words)
	}
	_, err = history.List("me").StartHistoryId(first - 1).Do()
	refused(t, err, 404, "notFound", "Requested entity was not found.")

	before := must2p(t)(w.users(alan).GetProfile("me").Do()).HistoryId
	if err := w.s.ForgetCursors(alan); err != nil {
		t.Fatal(err)
	}
	_, err = history.List("me").StartHistoryId(before).Do()
	e := refused(t, err, 404, "notFound", "Requested entity was not found.")
	want := `{"error":{"code":404,"message":"Requested entity was not found.","errors":[{"message":"Requested entity was not found.","domain":"global","reason":"notFound"}],"status":"NOT_FOUND"}}`
	if e.Body != want {
		t.Errorf("body %s", e.Body)
	}
	// The id of a message of an idle mailbox is too old again; the profile's is not.
	old := must2(t)(w.users(alan).Messages.Get("me", one).Do()).HistoryId
	_, err = history.List("me").StartHistoryId(old).Do()
	refused(t, err, 404, "notFound", "Requested entity was not found.")
	after := must2p(t)(w.users(alan).GetProfile("me").Do()).HistoryId
	w.deliver(letter("Three"))
	if words, _, _ := told(t, w, after); !slices.Equal(words, []string{"added"}) {
		t.Errorf("%v", words)
	}
	if err := w.s.ForgetCursors("nobody@gmail.example"); err == nil {
		t.Error("nobody's cursors were forgotten")
	}
}

func TestAFutureHistoryID(t *testing.T) {
	w := newWorld(t, func(s *Settings, _ *Options) { s.FutureHistoryOK = true })
	if words, cursor, _ := told(t, w, 1<<40); len(words) > 0 || cursor != 1<<40 {
		t.Errorf("%v %d", words, cursor)
	}
}

func TestHistoryLags(t *testing.T) {
	w := newWorld(t)
	w.s.SetDeltaLag(time.Minute)
	start := must2p(t)(w.users(alan).GetProfile("me").Do()).HistoryId
	w.deliver(letter("One"))
	words, cursor, _ := told(t, w, start)
	if len(words) > 0 || cursor != start {
		t.Errorf("told at once: %v, cursor moved by %d", words, cursor-start)
	}
	w.pass(40 * time.Second)
	w.deliver(letter("Two"))
	w.pass(40 * time.Second)
	words, middle, _ := told(t, w, cursor)
	if len(words) != 1 {
		t.Errorf("told %v", words)
	}
	w.pass(time.Minute)
	if words, _, _ := told(t, w, middle); len(words) != 1 {
		t.Errorf("told %v", words)
	}
}

func TestListenersHearEveryRecord(t *testing.T) {
	w := newWorld(t)
	var heard []Change
	w.s.OnChange(func(c Change) {
		if c.User.Address == alan {
			heard = append(heard, c)
		}
	})
	start := must2p(t)(w.users(alan).GetProfile("me").Do()).HistoryId
	one := busy(w)
	w.deliver(letter("Quiet"), func(d *cloud.Delivery) { d.Notify = false })
	page, err := w.users(alan).History.List("me").StartHistoryId(start).Do()
	must(t, page, err)
	var want, got []string
	for _, h := range page.History {
		want = append(want, strconv.FormatUint(h.Id, 10))
	}
	for _, c := range heard {
		got = append(got, strconv.FormatUint(c.HistoryID, 10))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	if !heard[len(heard)-1].Silent || heard[0].Silent {
		t.Error("silence is not as it was asked for")
	}
	if read := heard[1]; read.MessageID != one || !slices.Contains(read.Labels, "UNREAD") || !slices.Contains(read.Labels, "STARRED") {
		t.Errorf("%+v", read)
	}
}
