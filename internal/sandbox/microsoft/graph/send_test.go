package graph

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

func TestSendMail(t *testing.T) {
	w := newWorld(t, nil)
	r := w.do("POST", "/me/sendMail", obj{"message": obj{
		"subject": "Hi", "body": obj{"contentType": "text", "content": "text"},
		"toRecipients": to("max@x.example"), "ccRecipients": to("Max@X.example", "cc@x.example"), "bccRecipients": to("secret@x.example"),
	}}).is(202)
	if len(r.raw) != 0 {
		t.Errorf("an answer: %s", r.raw)
	}
	if len(w.sent) != 1 || !cmp.Equal(w.sent[0].rcpts, []string{"max@x.example", "cc@x.example", "secret@x.example"}) || w.sent[0].from.Address != ada {
		t.Fatalf("sent %+v", w.sent)
	}
	wire := string(w.sent[0].raw)
	if strings.Contains(wire, "secret") || !strings.Contains(wire, "From: \"Ada Lovelace\" <"+ada+">\r\n") || !strings.Contains(wire, "\r\nMessage-ID: <") {
		t.Errorf("on the wire: %q", wire)
	}
	copies := w.get("/me/mailFolders/sentitems/messages").is(200)
	if copies.at("value", 0, "isDraft") != false || copies.at("value", 0, "from", "emailAddress", "address") != ada || copies.at("value", 0, "bccRecipients", 0) == nil {
		t.Errorf("in Sent Items: %s", copies.raw)
	}
	w.do("POST", "/me/sendMail", obj{"Message": obj{"subject": "no copy", "toRecipients": to("max@x.example")}, "SaveToSentItems": false}).is(202)
	raw := []byte("To: max@x.example\r\nBcc: secret@x.example\r\nSubject: MIME\r\nMessage-ID: <mine@app.example>\r\n\r\nkept  as it is \r\n")
	w.do("POST", "/me/sendMail", b64(raw)).is(202)
	if wire := string(w.sent[2].raw); !strings.HasSuffix(wire, "\r\nTo: max@x.example\r\nSubject: MIME\r\nMessage-ID: <mine@app.example>\r\n\r\nkept  as it is \r\n") || !strings.HasPrefix(wire, "From: ") || !strings.Contains(wire, "\r\nDate: ") {
		t.Errorf("MIME on the wire: %q", wire)
	}
	if got := w.get("/me/mailFolders/sentitems/messages?$filter=internetMessageId eq '<mine@app.example>'").is(200).list("subject"); !cmp.Equal(got, []string{"MIME"}) {
		t.Errorf("found again: %v", got)
	}
	if n := w.get("/me/mailFolders/sentitems").at("totalItemCount"); n != 2.0 {
		t.Errorf("%v in Sent Items", n)
	}
	many := make([]string, 501)
	for i := range many {
		many[i] = fmt.Sprintf("u%d@x.example", i)
	}
	for _, c := range []struct {
		message obj
		status  int
		code    string
	}{
		{obj{"subject": "nobody"}, 400, "ErrorInvalidRecipients"},
		{obj{"toRecipients": to("nobody")}, 400, "ErrorInvalidRecipients"},
		{obj{"toRecipients": to("a@b"), "from": to("boss@contoso.example")[0]}, 403, "ErrorSendAsDenied"},
		{obj{"toRecipients": to(many...)}, 400, "ErrorExceededMessageLimit"},
	} {
		w.do("POST", "/me/sendMail", obj{"message": c.message}).refuses(c.status, c.code)
	}
	w.do("POST", "/me/sendMail", obj{"message": nil}).refuses(400, "ErrorInvalidRequest")
	w.do("POST", "/me/sendMail", obj{"messages": obj{}}).refuses(400, "RequestBodyRead")
	w.scopes = []string{"Mail.ReadWrite"}
	w.do("POST", "/me/sendMail", obj{"message": obj{"toRecipients": to("a@b")}}).refuses(403, "ErrorAccessDenied")
	if len(w.sent) != 3 {
		t.Errorf("%d messages left", len(w.sent))
	}
}

func TestSendDraft(t *testing.T) {
	w := newWorld(t, func(s *Settings) { s.SendGap = time.Second })
	draft := w.do("POST", "/me/messages", obj{"subject": "later", "toRecipients": to("max@x.example")}, "Prefer", immutable).is(201)
	id, messageID := draft.text("id"), draft.text("internetMessageId")
	regular := w.get("/me/messages/" + id).is(200).text("id")
	w.changes = nil
	w.do("POST", "/me/messages/"+id+"/send", nil).is(202)
	w.get("/me/messages/"+id).refuses(404, "ErrorItemNotFound") // the gap
	w.advance(2 * time.Second)
	w.get("/me/messages/"+regular).refuses(404, "ErrorItemNotFound")
	sent := w.get("/me/mailFolders/sentitems/messages/"+id, "Prefer", immutable).is(200)
	if sent.text("internetMessageId") != messageID || sent.at("isDraft") != false || !strings.Contains(string(w.sent[0].raw), messageID) {
		t.Errorf("sent: %s", sent.raw)
	}
	var got []string
	outbox, _ := w.s.FolderByRef(ada, "outbox")
	for _, c := range w.changes {
		got = append(got, c.Type)
		if c.Folder == outbox && c.Type == cloud.Created {
			w.get("/me/messages/"+c.MessageID).refuses(404, "ErrorItemNotFound")
		}
	}
	if want := []string{"deleted", "created", "deleted", "created"}; !cmp.Equal(got, want) { // drafts, outbox twice, sent
		t.Errorf("changes %v", got)
	}
	w.do("POST", "/me/messages/"+id+"/send", nil).refuses(400, "ErrorInvalidRequest")
	empty := w.do("POST", "/me/messages", obj{"subject": "to nobody"}).is(201).text("id")
	w.do("POST", "/me/messages/"+empty+"/send", nil).refuses(400, "ErrorInvalidRecipients")
	w.get("/me/mailFolders/drafts/messages/" + empty).is(200)
}

func TestSendFails(t *testing.T) {
	w := newWorld(t, nil)
	w.refuse = errors.New("no such host")
	w.do("POST", "/me/sendMail", obj{"message": obj{"subject": "lost", "toRecipients": to("max@nowhere.example")}}).is(202)
	report := w.get("/me/mailFolders/inbox/messages?$expand=attachments").is(200)
	if report.at("value", 0, "subject") != "Undeliverable: lost" || !strings.Contains(fmt.Sprint(report.at("value", 0, "attachments")), "delivery-status") {
		t.Errorf("report: %s", report.raw)
	}
}

func TestReplies(t *testing.T) {
	w := newWorld(t, nil)
	id := w.deliver(cloud.Delivery{Raw: []byte("From: Grace <grace@contoso.example>\nReply-To: list@x.example\nTo: ada@contoso.example, max@x.example\nCc: cc@x.example\nSubject: Re: plan\nMessage-ID: <plan@x>\nReferences: <first@x>\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nthe plan\n--b\nContent-Type: text/csv; name=plan.csv\nContent-Disposition: attachment\n\n1,2\n--b--\n")})
	reply := w.do("POST", "/me/messages/"+id+"/createReply", obj{"comment": "fine <3"}, "Prefer", immutable).is(201)
	if reply.text("subject") != "RE: plan" || reply.text("toRecipients", 0, "emailAddress", "address") != "list@x.example" || reply.at("hasAttachments") != false || reply.at("isDraft") != true {
		t.Errorf("reply: %s", reply.raw)
	}
	if body := reply.text("body", "content"); !strings.HasPrefix(body, "fine <3\r\n") || !strings.Contains(body, "the plan") || !strings.Contains(body, "From: Grace <grace@contoso.example>") {
		t.Errorf("body %q", body)
	}
	original := w.get("/me/messages/" + id).is(200)
	if reply.text("conversationId") != original.text("conversationId") {
		t.Error("a reply starts a conversation")
	}
	w.do("POST", "/me/messages/"+reply.text("id")+"/send", nil).is(202)
	wire := string(w.sent[0].raw)
	if !strings.Contains(wire, "\r\nIn-Reply-To: <plan@x>\r\n") || !strings.Contains(wire, "\r\nReferences: <first@x>\r\n <plan@x>\r\n") {
		t.Errorf("on the wire: %q", wire)
	}
	verb := func() string {
		infos, _ := w.s.Messages(ada)
		for _, i := range infos {
			if i.ID == id {
				return strings.Join(i.Keywords, " ")
			}
		}
		return "gone"
	}
	if verb() != "$answered" {
		t.Errorf("keywords %q", verb())
	}
	all := w.do("POST", "/me/messages/"+id+"/createReplyAll", nil).is(201)
	if got := fmt.Sprint(all.at("toRecipients"), all.at("ccRecipients")); !strings.Contains(got, "list@") || !strings.Contains(got, "max@") || !strings.Contains(got, "cc@") || strings.Contains(got, ada) {
		t.Errorf("reply all: %s", got)
	}
	w.do("POST", "/me/messages/"+id+"/replyAll", obj{"message": obj{"body": obj{"contentType": "text", "content": "only this"}}}).is(202)
	if !strings.HasSuffix(string(w.sent[1].raw), "\r\n\r\nonly this") {
		t.Errorf("body given: %q", w.sent[1].raw)
	}
	forward := w.do("POST", "/me/messages/"+id+"/createForward", obj{"toRecipients": to("boss@x.example")}).is(201)
	if forward.text("subject") != "FW: plan" || forward.at("hasAttachments") != true {
		t.Errorf("forward: %s", forward.raw)
	}
	w.do("POST", "/me/messages/"+id+"/forward", obj{"ToRecipients": to("boss@x.example"), "Comment": "see"}).is(202)
	if verb() != "$forwarded" || !strings.Contains(string(w.sent[2].raw), "MSwy") {
		t.Errorf("forwarded: %q %q", verb(), w.sent[2].raw)
	}
	w.do("POST", "/me/messages/"+id+"/forward", obj{}).refuses(400, "ErrorInvalidRecipients")
	w.do("POST", "/me/messages/"+id+"/reply", obj{"comment": "a", "message": obj{"body": obj{"content": "b"}}}).refuses(400, "ErrorInvalidRequest")
	w.do("POST", "/me/messages/"+id+"/reply", obj{"toRecipients": to("x@y")}).refuses(400, "RequestBodyRead")
	w.do("POST", "/me/messages/"+id+"/reply", b64(letter("by MIME", "x"))).refuses(403, "ErrorSendAsDenied")
	w.do("POST", "/me/messages/"+id+"/reply", b64([]byte("Subject: by MIME\r\n\r\nx"))).is(202)
	if last := w.sent[len(w.sent)-1]; !cmp.Equal(last.rcpts, []string{"list@x.example"}) {
		t.Errorf("MIME reply went to %v", last.rcpts)
	}
	html := w.deliver(cloud.Delivery{Raw: letter("h", "<p>hi</p>", "Content-Type: text/html\r\n")})
	if r := w.do("POST", "/me/messages/"+html+"/createReply", obj{"Comment": "<b>"}).is(201); r.text("body", "contentType") != "html" || !strings.Contains(r.text("body", "content"), "&lt;b&gt;") {
		t.Errorf("HTML reply: %s", r.raw)
	}
}
