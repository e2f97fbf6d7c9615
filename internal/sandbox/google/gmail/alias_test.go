package gmail

import (
	"fmt"
	"strings"
	"testing"

	api "google.golang.org/api/gmail/v1"
)

func (d *desk) aliases() string {
	d.Helper()
	list, err := d.api.Users.Settings.SendAs.List("me").Do()
	if err != nil {
		d.Fatal(err)
	}
	var out []string
	for _, a := range list.SendAs {
		out = append(out, fmt.Sprint(a.SendAsEmail, " ", a.DisplayName, " ", a.IsPrimary, " ", a.IsDefault, " ", a.VerificationStatus))
	}
	return strings.Join(out, "; ")
}

func TestSendAs(t *testing.T) {
	d := newDesk(t, Settings{})
	as := d.api.Users.Settings.SendAs
	const own = "alan@gmail.example Alan Turing true true "
	if got := d.aliases(); got != own {
		t.Errorf("at first: %s", got)
	}
	made, err := as.Create("me", &api.SendAs{SendAsEmail: "al@elsewhere.example", DisplayName: "Al", TreatAsAlias: true,
		SmtpMsa: &api.SmtpMsa{Host: "mx.elsewhere.example", Port: 587, Username: "al", Password: "secret", SecurityMode: "starttls"}}).Do()
	if err != nil || made.VerificationStatus != "pending" || made.SmtpMsa.Host != "mx.elsewhere.example" || made.SmtpMsa.Password != "" {
		t.Fatalf("%+v %v", made, err)
	}
	if d.sent() != 1 || fmt.Sprint(d.rcpts[0]) != "[al@elsewhere.example]" {
		t.Errorf("asked %v", d.rcpts)
	}
	if err := as.Verify("me", "al@elsewhere.example").Do(); err != nil || d.sent() != 2 {
		t.Errorf("%v, %d mails", err, d.sent())
	}
	// Until it is verified, nothing is sent as it.
	if _, err := d.api.Users.Messages.Send("me", &api.Message{Raw: b64("From: al@elsewhere.example\r\nTo: grace@gmail.example\r\n\r\nx")}).Do(); err != nil ||
		!strings.Contains(string(d.mail[2]), "From: \"Alan Turing\" <alan@gmail.example>") {
		t.Errorf("%v %s", err, d.mail[2])
	}
	if a, err := as.Create("me", &api.SendAs{SendAsEmail: "turing@gmail.example"}).Do(); err != nil || a.VerificationStatus != "accepted" {
		t.Errorf("%+v %v", a, err)
	}
	if a, err := as.Patch("me", "turing@gmail.example", &api.SendAs{DisplayName: "A. M. T.", ReplyToAddress: "office@gmail.example", IsDefault: true}).Do(); err != nil || a.DisplayName != "A. M. T." || !a.IsDefault {
		t.Errorf("%+v %v", a, err)
	}
	if got := d.aliases(); got != "alan@gmail.example Alan Turing true false ; al@elsewhere.example Al false false pending; turing@gmail.example A. M. T. false true accepted" {
		t.Errorf("then: %s", got)
	}
	if _, err := d.api.Users.Messages.Send("me", &api.Message{Raw: b64("To: grace@gmail.example\r\n\r\nx")}).Do(); err != nil ||
		!strings.Contains(string(d.mail[3]), "From: \"A. M. T.\" <turing@gmail.example>\r\nReply-To: office@gmail.example\r\n") {
		t.Errorf("%v %s", err, d.mail[3])
	}
	if a, err := as.Update("me", "turing@gmail.example", &api.SendAs{Signature: "--"}).Do(); err != nil || a.DisplayName != "" || a.Signature != "--" {
		t.Errorf("%+v %v", a, err)
	}
	if a, err := as.Get("me", "TURING@gmail.example").Do(); err != nil || a.Signature != "--" {
		t.Errorf("%+v %v", a, err)
	}
	for _, email := range []string{"turing@gmail.example", "al@elsewhere.example"} {
		if err := as.Delete("me", email).Do(); err != nil {
			t.Error(err)
		}
	}
	if got := d.aliases(); got != own {
		t.Errorf("in the end: %s", got)
	}
}

func TestSendAsRefusals(t *testing.T) {
	d := newDesk(t, Settings{})
	as := d.api.Users.Settings.SendAs
	d.refusal(errOf(as.Get("me", "x@y.example").Do()), 404, "notFound", "")
	d.refusal(as.Delete("me", "x@y.example").Do(), 404, "notFound", "")
	d.refusal(as.Delete("me", alan).Do(), 400, "invalidArgument", "primary")
	d.refusal(as.Verify("me", alan).Do(), 400, "failedPrecondition", "")
	d.refusal(errOf(as.Create("me", &api.SendAs{SendAsEmail: "no address"}).Do()), 400, "invalidArgument", "Invalid sendAsEmail")
	d.refusal(errOf(as.Create("me", &api.SendAs{SendAsEmail: alan}).Do()), 409, "alreadyExists", "")
	d.refusal(errOf(as.Patch("me", alan, &api.SendAs{ReplyToAddress: "x y"}).Do()), 400, "invalidArgument", "replyToAddress")
	d.refusal(errOf(as.Patch("me", alan, &api.SendAs{IsDefault: false, ForceSendFields: []string{"IsDefault"}}).Do()), 400, "invalidArgument", "default")
	d.refusal(errOf(as.Patch("me", alan, &api.SendAs{SmtpMsa: &api.SmtpMsa{Host: "x", Port: 1}}).Do()), 400, "invalidArgument", "smtpMsa")
	d.scopes = []string{scopeFull}
	d.refusal(errOf(as.Patch("me", alan, &api.SendAs{DisplayName: "x"}).Do()), 403, "insufficientPermissions", "insufficient authentication scopes")
	if err := d.server.AddAlias(alan, alan, ""); err == nil {
		t.Error("an alias was added twice")
	}
	if err := d.server.AddAlias("nobody@x.example", alan, ""); err == nil {
		t.Error("nobody has an alias")
	}
}

// The settings without effect are kept; what Gmail has for others is refused.
func TestPreferences(t *testing.T) {
	d := newDesk(t, Settings{})
	s := d.api.Users.Settings
	if v, err := s.GetImap("me").Do(); err != nil || !v.Enabled || v.ExpungeBehavior != "archive" {
		t.Errorf("%+v %v", v, err)
	}
	if _, err := s.UpdateImap("me", &api.ImapSettings{ExpungeBehavior: "trash"}).Do(); err != nil {
		t.Fatal(err)
	}
	if v, err := s.GetImap("me").Do(); err != nil || v.Enabled || v.ExpungeBehavior != "trash" {
		t.Errorf("%+v %v", v, err)
	}
	if v, err := s.UpdateVacation("me", &api.VacationSettings{EnableAutoReply: true, ResponseSubject: "away", StartTime: 1, EndTime: 2}).Do(); err != nil || v.EndTime != 2 {
		t.Errorf("%+v %v", v, err)
	}
	if v, err := s.GetVacation("me").Do(); err != nil || v.ResponseSubject != "away" || v.StartTime != 1 {
		t.Errorf("%+v %v", v, err)
	}
	for _, err := range []error{
		errOf(s.UpdateImap("me", &api.ImapSettings{ExpungeBehavior: "burn"}).Do()), errOf(s.UpdatePop("me", &api.PopSettings{AccessWindow: "ajar"}).Do()),
	} {
		d.refusal(err, 400, "badRequest", "TYPE_ENUM")
	}
	for _, err := range []error{
		errOf(s.UpdateLanguage("me", &api.LanguageSettings{}).Do()), errOf(s.UpdateVacation("me", &api.VacationSettings{EnableAutoReply: true}).Do()),
		errOf(s.UpdateVacation("me", &api.VacationSettings{StartTime: 2, EndTime: 1}).Do()), errOf(s.UpdateAutoForwarding("me", &api.AutoForwarding{Enabled: true}).Do()),
	} {
		d.refusal(err, 400, "invalidArgument", "")
	}
	if v, err := s.Filters.List("me").Do(); err != nil || len(v.Filter) != 0 {
		t.Errorf("%+v %v", v, err)
	}
	d.refusal(errOf(s.Filters.Get("me", "x").Do()), 404, "notFound", "")
	d.refusal(errOf(s.Filters.Create("me", &api.Filter{}).Do()), 400, "failedPrecondition", "")
	d.refusal(errOf(s.Delegates.Create("me", &api.Delegate{DelegateEmail: grace}).Do()), 403, "forbidden", "Access restricted to service accounts")
	d.refusal(errOf(s.Cse.Keypairs.Disable("me", "k", &api.DisableCseKeyPairRequest{}).Do()), 400, "failedPrecondition", "")
	d.refusal(errOf(s.SendAs.SmimeInfo.List("me", alan).Do()), 400, "failedPrecondition", "")
}
