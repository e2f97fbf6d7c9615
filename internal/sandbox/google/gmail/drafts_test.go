package gmail

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	api "google.golang.org/api/gmail/v1"
	"google.golang.org/api/googleapi"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// The draft keeps its id; what is in it is another message after each change,
// in the same thread.
func TestDraftThroughItsLife(t *testing.T) {
	d := newDesk(t, Settings{})
	drafts := d.api.Users.Drafts
	start, err := d.api.Users.GetProfile("me").Do()
	if err != nil {
		t.Fatal(err)
	}
	made, err := drafts.Create("me", &api.Draft{Message: &api.Message{Raw: b64("Subject: half\r\n\r\nx")}}).Do()
	if err != nil {
		t.Fatal(err)
	}
	if made.Id == "" || fmt.Sprint(made.Message.LabelIds) != "[DRAFT]" || made.Message.ThreadId != made.Message.Id {
		t.Errorf("%+v %+v", made, made.Message)
	}
	changed, err := drafts.Update("me", made.Id, &api.Draft{Message: &api.Message{}}).Media(strings.NewReader(letterTo), googleapi.ContentType("message/rfc822")).Do()
	if err != nil {
		t.Fatal(err)
	}
	if changed.Id != made.Id || changed.Message.Id == made.Message.Id || changed.Message.ThreadId != made.Message.ThreadId {
		t.Errorf("%s %+v, was %s %+v", changed.Id, changed.Message, made.Id, made.Message)
	}
	_, err = d.api.Users.Messages.Get("me", made.Message.Id).Do()
	d.refusal(err, 404, "notFound", "")
	got, err := drafts.Get("me", made.Id).Format("metadata").Do()
	if err != nil || got.Id != made.Id || got.Message.Id != changed.Message.Id || got.Message.Payload == nil {
		t.Errorf("%+v %v", got, err)
	}
	list, err := drafts.List("me").Q("subject:plans").Do()
	if err != nil || len(list.Drafts) != 1 || list.Drafts[0].Id != made.Id || list.Drafts[0].Message.Id != changed.Message.Id || list.Drafts[0].Message.Payload != nil {
		t.Errorf("%+v %v", list, err)
	}

	sent, err := drafts.Send("me", &api.Draft{Id: made.Id}).Do()
	if err != nil {
		t.Fatal(err)
	}
	if sent.Id == changed.Message.Id || sent.ThreadId != made.Message.ThreadId || fmt.Sprint(sent.LabelIds) != "[SENT]" {
		t.Errorf("sent %+v", sent)
	}
	if d.sent() != 1 || strings.Count(string(d.mail[0]), "Received: from") != 1 || strings.Contains(string(d.mail[0]), "Bcc") {
		t.Errorf("%d left: %s", d.sent(), d.mail)
	}
	for _, err := range []error{
		errOf(drafts.Get("me", made.Id).Do()), errOf(drafts.Send("me", &api.Draft{Id: made.Id}).Do()), drafts.Delete("me", made.Id).Do(),
	} {
		d.refusal(err, 404, "notFound", "")
	}
	if d.sent() != 1 {
		t.Error("it was sent twice")
	}
	var story []string
	h, err := d.api.Users.History.List("me").StartHistoryId(start.HistoryId).Do()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{made.Message.Id: "first", changed.Message.Id: "second", sent.Id: "sent"}
	for _, rec := range h.History {
		for _, a := range rec.MessagesAdded {
			story = append(story, "+"+names[a.Message.Id])
		}
		for _, a := range rec.MessagesDeleted {
			story = append(story, "-"+names[a.Message.Id])
		}
	}
	if want := []string{"+first", "+second", "-first", "+sent", "-second"}; !slices.Equal(story, want) {
		t.Errorf("%v, want %v", story, want)
	}
}

func errOf[T any](_ T, err error) error { return err }

func TestDraftIsSentAsItThenIs(t *testing.T) {
	d := newDesk(t, Settings{})
	made, err := d.api.Users.Drafts.Create("me", &api.Draft{Message: &api.Message{Raw: b64("Subject: old\r\n\r\nx")}}).Do()
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.api.Users.Drafts.Send("me", &api.Draft{Id: made.Id}).Do()
	d.refusal(err, 400, "invalidArgument", "Recipient address required")
	if _, err := d.api.Users.Drafts.Get("me", made.Id).Do(); err != nil {
		t.Errorf("the refused draft: %v", err)
	}
	if _, err := d.api.Users.Drafts.Send("me", &api.Draft{Id: made.Id, Message: &api.Message{Raw: b64(letterTo)}}).Do(); err != nil {
		t.Fatal(err)
	}
	if d.sent() != 1 || !strings.Contains(string(d.mail[0]), "Subject: Plans") {
		t.Errorf("%s", d.mail)
	}
}

func TestDraftIsDeletedForGood(t *testing.T) {
	d := newDesk(t, Settings{})
	made, err := d.api.Users.Drafts.Create("me", &api.Draft{Message: &api.Message{Raw: b64(letterTo)}}).Do()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.api.Users.Drafts.Delete("me", made.Id).Do(); err != nil {
		t.Fatal(err)
	}
	if list, err := d.api.Users.Messages.List("me").IncludeSpamTrash(true).Do(); err != nil || len(list.Messages) != 0 {
		t.Errorf("%+v %v", list.Messages, err)
	}
}

func TestDraftOfAnotherProgram(t *testing.T) {
	d := newDesk(t, Settings{})
	id, err := d.server.Deliver(t.Context(), alan, cloud.Delivery{Mailbox: "drafts", Raw: []byte(letterTo)})
	if err != nil {
		t.Fatal(err)
	}
	list, err := d.api.Users.Drafts.List("me").Do()
	if err != nil || len(list.Drafts) != 1 || list.Drafts[0].Message.Id != id {
		t.Fatalf("%+v %v", list, err)
	}
	if got, err := d.api.Users.Drafts.Get("me", list.Drafts[0].Id).Do(); err != nil || got.Message.Id != id {
		t.Errorf("%+v %v", got, err)
	}
	if err := d.api.Users.Messages.Delete("me", id).Do(); err != nil {
		t.Fatal(err)
	}
	_, err = d.api.Users.Drafts.Get("me", list.Drafts[0].Id).Do()
	d.refusal(err, 404, "notFound", "")
}

func TestDraftRefusals(t *testing.T) {
	d := newDesk(t, Settings{})
	drafts := d.api.Users.Drafts
	d.refusal(errOf(drafts.Create("me", &api.Draft{}).Do()), 400, "invalidArgument", "'raw' RFC822 payload message string")
	d.refusal(errOf(drafts.Create("me", &api.Draft{Message: &api.Message{Raw: "%"}}).Do()), 400, "badRequest", "Base64 decoding failed")
	d.refusal(errOf(drafts.Create("me", &api.Draft{Message: &api.Message{Raw: b64("x"), ThreadId: "0123456789abcdef"}}).Do()), 404, "notFound", "")
	d.refusal(errOf(drafts.Update("me", "r1", &api.Draft{Message: &api.Message{Raw: b64("x")}}).Do()), 404, "notFound", "")
	d.refusal(errOf(drafts.Get("me", "r1").Do()), 404, "notFound", "")
	d.refusal(errOf(drafts.Send("me", &api.Draft{}).Do()), 400, "invalidArgument", "Missing draft id")
	d.refusal(drafts.Delete("me", "r1").Do(), 404, "notFound", "")
}

// What a mailbox has for sending outlives the process.
func TestOutgoingIsKept(t *testing.T) {
	d := newDesk(t, Settings{})
	made, err := d.api.Users.Drafts.Create("me", &api.Draft{Message: &api.Message{Raw: b64("Subject: half\r\n\r\nx")}}).Do()
	if err != nil {
		t.Fatal(err)
	}
	changed, err := d.api.Users.Drafts.Update("me", made.Id, &api.Draft{Message: &api.Message{Raw: b64(letterTo)}}).Do()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.server.AddAlias(alan, "al@alias.example", "Al"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.api.Users.Watch("me", &api.WatchRequest{TopicName: topic, LabelIds: []string{"INBOX"}}).Do(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.api.Users.Settings.UpdateLanguage("me", &api.LanguageSettings{DisplayLanguage: "de"}).Do(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := d.server.Save(dir); err != nil {
		t.Fatal(err)
	}
	before := d.aliases()
	next := newDesk(t, Settings{}, "nobody")
	if err := next.server.Load(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := next.api.Users.Drafts.Get("me", made.Id).Do(); err != nil || got.Message.Id != changed.Message.Id {
		t.Errorf("%+v %v", got, err)
	}
	if got := next.aliases(); got != before || !strings.Contains(got, "al@alias.example Al") {
		t.Errorf("%s, was %s", got, before)
	}
	if v, err := next.api.Users.Settings.GetLanguage("me").Do(); err != nil || v.DisplayLanguage != "de" {
		t.Errorf("%+v %v", v, err)
	}
	if next.deliver(""); len(next.told()) != 1 {
		t.Error("the watch is lost")
	}
	if next.deliver("archive"); len(next.told()) != 0 {
		t.Error("its filter is lost")
	}
}
