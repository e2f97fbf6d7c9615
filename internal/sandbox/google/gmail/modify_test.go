package gmail

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	api "google.golang.org/api/gmail/v1"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

func TestModify(t *testing.T) {
	w := newWorld(t)
	id := w.deliver(letter("One"))
	msgs := w.users(alan).Messages
	m, err := msgs.Modify("me", id, &api.ModifyMessageRequest{AddLabelIds: []string{"STARRED", "TRASH"}, RemoveLabelIds: []string{"UNREAD", "SPAM"}}).Do()
	must(t, m, err)
	if diff := cmp.Diff([]string{"CATEGORY_PERSONAL", "IMPORTANT", "INBOX", "STARRED", "TRASH"}, m.LabelIds); diff != "" || m.Id != id || m.ThreadId != id || m.HistoryId != 0 {
		t.Errorf("%s %+v", diff, m)
	}
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprint("Label_", i)
	}
	for _, c := range []struct {
		add, remove []string
		message     string
	}{
		{nil, nil, "No label add or removes specified"},
		{[]string{"SENT"}, nil, "Invalid label: SENT"},
		{nil, []string{"DRAFT"}, "Invalid label: DRAFT"},
		{[]string{"Label_9"}, nil, "Invalid label: Label_9"},
		{[]string{"INBOX"}, []string{"INBOX"}, "Cannot both add and remove the same label"},
		{many, nil, "Too many label ids"},
		{nil, many, "Too many label ids"},
	} {
		_, err := msgs.Modify("me", id, &api.ModifyMessageRequest{AddLabelIds: c.add, RemoveLabelIds: c.remove}).Do()
		refused(t, err, 400, "invalidArgument", c.message)
		_, err = w.users(alan).Threads.Modify("me", id, &api.ModifyThreadRequest{AddLabelIds: c.add, RemoveLabelIds: c.remove}).Do()
		refused(t, err, 400, "invalidArgument", c.message)
		err = msgs.BatchModify("me", &api.BatchModifyMessagesRequest{Ids: []string{id}, AddLabelIds: c.add, RemoveLabelIds: c.remove}).Do()
		refused(t, err, 400, "invalidArgument", c.message)
	}
	_, err = msgs.Modify("me", "0123456789abcdef", &api.ModifyMessageRequest{AddLabelIds: []string{"INBOX"}}).Do()
	refused(t, err, 404, "notFound", "Requested entity was not found.")
	_, err = w.users(alan, scopeReadonly).Messages.Modify("me", id, &api.ModifyMessageRequest{AddLabelIds: []string{"INBOX"}}).Do()
	refused(t, err, 403, "insufficientPermissions", "Request had insufficient authentication scopes.")
}

func TestTrash(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		w := newWorld(t, func(s *Settings, _ *Options) { s.TrashKeepsInbox, s.UntrashRestoresInbox = keeps, false })
		id := w.deliver(letter("One"), func(d *cloud.Delivery) { d.Keywords = []string{"Work", "$seen"} })
		msgs := w.users(alan).Messages
		m, err := msgs.Trash("me", id).Do()
		must(t, m, err)
		if !slices.Contains(m.LabelIds, "TRASH") || slices.Contains(m.LabelIds, "INBOX") != keeps || !slices.Contains(m.LabelIds, "Label_1") {
			t.Errorf("in the trash: %v", m.LabelIds)
		}
		m, err = msgs.Untrash("me", id).Do()
		must(t, m, err)
		if slices.Contains(m.LabelIds, "TRASH") || slices.Contains(m.LabelIds, "INBOX") != keeps {
			t.Errorf("out of the trash: %v", m.LabelIds)
		}
		_, err = msgs.Trash("me", "0123456789abcdef").Do()
		refused(t, err, 404, "notFound", "Requested entity was not found.")
		_, err = msgs.Untrash("me", "none").Do()
		refused(t, err, 400, "invalidArgument", "Invalid id value")
	}
}

func TestDelete(t *testing.T) {
	w := newWorld(t)
	id := w.deliver(letter("One"))
	err := w.users(alan, scopeModify).Messages.Delete("me", id).Do()
	refused(t, err, 403, "insufficientPermissions", "Request had insufficient authentication scopes.")
	msgs := w.users(alan).Messages
	if err := msgs.Delete("me", id).Do(); err != nil {
		t.Fatal(err)
	}
	refused(t, msgs.Delete("me", id).Do(), 404, "notFound", "Requested entity was not found.")
	_, err = msgs.Get("me", id).Do()
	refused(t, err, 404, "notFound", "Requested entity was not found.")
}

func TestBatches(t *testing.T) {
	w := newWorld(t)
	one, two, three := w.deliver(letter("One")), w.deliver(letter("Two")), w.deliver(letter("Three"))
	msgs := w.users(alan).Messages
	gone := "0123456789abcdef"
	if err := msgs.BatchModify("me", &api.BatchModifyMessagesRequest{Ids: []string{one, gone, two}, AddLabelIds: []string{"STARRED"}}).Do(); err != nil {
		t.Fatal(err)
	}
	list, err := msgs.List("me").LabelIds("STARRED").Do()
	if must(t, list, err); len(list.Messages) != 2 {
		t.Errorf("%d are starred", len(list.Messages))
	}
	if err := msgs.BatchDelete("me", &api.BatchDeleteMessagesRequest{Ids: []string{one, gone, three}}).Do(); err != nil {
		t.Fatal(err)
	}
	list, err = msgs.List("me").Do()
	if must(t, list, err); len(list.Messages) != 1 || list.Messages[0].Id != two {
		t.Errorf("%+v is left", list.Messages)
	}
	many := slices.Repeat([]string{gone}, 1001)
	refused(t, msgs.BatchDelete("me", &api.BatchDeleteMessagesRequest{Ids: many}).Do(), 400, "invalidArgument", "Too many message ids")
	refused(t, msgs.BatchDelete("me", &api.BatchDeleteMessagesRequest{}).Do(), 400, "invalidArgument", "No message ids specified")
	refused(t, msgs.BatchDelete("me", &api.BatchDeleteMessagesRequest{Ids: []string{"?"}}).Do(), 400, "invalidArgument", "Invalid id value")
	refused(t, msgs.BatchModify("me", &api.BatchModifyMessagesRequest{Ids: many, AddLabelIds: []string{"INBOX"}}).Do(), 400, "invalidArgument", "Too many message ids")
	refused(t, w.users(alan, scopeModify).Messages.BatchDelete("me", &api.BatchDeleteMessagesRequest{Ids: []string{two}}).Do(), 403, "insufficientPermissions", "")
}

func TestThreads(t *testing.T) {
	w := newWorld(t)
	one := w.deliver(letter("Plan"))
	w.pass(1e9)
	other := w.deliver(letter("Else"))
	w.pass(1e9)
	answer := w.deliver("References: <x@y> <plan@else.example>\r\n" + letter("AW: Re: Plan"))
	w.pass(1e9)
	changed := w.deliver("In-Reply-To: <plan@else.example>\r\n" + letter("Another subject"))
	threads := w.users(alan).Threads
	list, err := threads.List("me").Do()
	must(t, list, err)
	var got []string
	for _, th := range list.Threads {
		got = append(got, th.Id)
		if th.Snippet == "" || th.HistoryId == 0 || len(th.Messages) > 0 {
			t.Errorf("%+v", th)
		}
	}
	if diff := cmp.Diff([]string{changed, one, other}, got); diff != "" {
		t.Error(diff)
	}
	page, err := threads.List("me").MaxResults(2).Do()
	must(t, page, err)
	rest, err := threads.List("me").PageToken(page.NextPageToken).Do()
	if must(t, rest, err); len(rest.Threads) != 1 || rest.Threads[0].Id != other {
		t.Errorf("%+v", rest.Threads)
	}
	th, err := threads.Get("me", one).Format("minimal").Do()
	must(t, th, err)
	if len(th.Messages) != 2 || th.Messages[0].Id != one || th.Messages[1].Id != answer || th.HistoryId != th.Messages[1].HistoryId || th.Messages[0].Payload != nil {
		t.Errorf("%+v", th)
	}
	th, err = threads.Modify("me", one, &api.ModifyThreadRequest{RemoveLabelIds: []string{"INBOX"}}).Do()
	if must(t, th, err); len(th.Messages) != 2 || slices.Contains(th.Messages[0].LabelIds, "INBOX") || slices.Contains(th.Messages[1].LabelIds, "INBOX") {
		t.Errorf("%+v", th)
	}
	if th, err = threads.Trash("me", one).Do(); err != nil || len(th.Messages) != 2 || !slices.Contains(th.Messages[1].LabelIds, "TRASH") {
		t.Errorf("%+v %v", th, err)
	}
	if th, err = threads.Untrash("me", one).Do(); err != nil || slices.Contains(th.Messages[1].LabelIds, "TRASH") {
		t.Errorf("%+v %v", th, err)
	}
	if err := threads.Delete("me", one).Do(); err != nil {
		t.Error(err)
	}
	refused(t, threads.Delete("me", one).Do(), 404, "notFound", "Requested entity was not found.")
	_, err = threads.Get("me", answer).Do()
	refused(t, err, 404, "notFound", "Requested entity was not found.")
	_, err = threads.Get("me", "x").Do()
	refused(t, err, 400, "invalidArgument", "Invalid id value")
	refused(t, w.users(alan, scopeModify).Threads.Delete("me", other).Do(), 403, "insufficientPermissions", "")
}

func TestAThreadIsGoneWithItsLastMessage(t *testing.T) {
	w := newWorld(t)
	one := w.deliver(letter("Plan"))
	answer := w.deliver("References: <plan@else.example>\r\n" + letter("Re: Plan"))
	msgs := w.users(alan).Messages
	must(t, one, msgs.Delete("me", one).Do())
	// While one is left, what refers to a deleted one is of the same thread.
	second := must2(t)(msgs.Get("me", w.deliver("References: <plan@else.example>\r\nSubject: Re: Plan\r\n\r\n")).Do())
	if second.ThreadId != one {
		t.Errorf("thread %s, want %s", second.ThreadId, one)
	}
	must(t, one, msgs.BatchDelete("me", &api.BatchDeleteMessagesRequest{Ids: []string{answer, second.Id}}).Do())
	late := must2(t)(msgs.Get("me", w.deliver("References: <plan@else.example>\r\nSubject: Re: Plan\r\n\r\n")).Do())
	if late.ThreadId != late.Id {
		t.Errorf("joined %s, of which nothing is left", late.ThreadId)
	}
	later := must2(t)(msgs.Get("me", w.deliver("References: <plan@else.example>\r\nSubject: Re: Plan\r\n\r\n")).Do())
	if later.ThreadId != late.Id {
		t.Errorf("joined %s, want %s: both answer the same", later.ThreadId, late.Id)
	}
}

func TestAThreadIDAloneJoinsNothing(t *testing.T) {
	w := newWorld(t)
	one := w.deliver(letter("Plan"))
	mb := w.s.mailbox(alan)
	add := func(raw, thread string) string {
		mb.mu.Lock()
		defer mb.mu.Unlock()
		return mb.add([]byte(raw), nil, w.clock(), w.clock(), thread).ThreadID
	}
	if got := add(letter("Re: Plan", ""), one); got == one {
		t.Error("joined without references")
	}
	if got := add("References: <plan@else.example>\r\nSubject: No plan\r\n\r\n", one); got == one {
		t.Error("joined in spite of its subject")
	}
	if got := add("References: <plan@else.example>\r\nSubject: re: PLAN\r\n\r\n", one); got != one {
		t.Errorf("joined %s, not %s", got, one)
	}
	if got := add("References: <plan@else.example>\r\nSubject: re: PLAN\r\n\r\n", "0123456789abcdef"); got == one {
		t.Error("joined a thread that was not asked for")
	}
}
