package fidelity

import (
	"maps"
	"slices"
	"strings"
	"testing"

	api "google.golang.org/api/gmail/v1"
	"google.golang.org/api/googleapi"
)

// A googleOperation is one method of the description, called rightly and
// wrongly.
type googleOperation struct {
	// call makes what it needs by g.full and calls the method by s.
	call func(g *googleWorld, s *googleClient) error
	// wrong calls it so that it is refused with status and reason, beside what
	// refuses every method: a token without scopes, and none at all.
	wrong  func(g *googleWorld, s *googleClient) error
	status int
	reason string
}

// mustServeGoogle are the parts of the description in which nothing may be
// missing.
func mustServeGoogle(id string) bool {
	id = strings.TrimPrefix(id, "gmail.users.")
	if slices.Contains([]string{"getProfile", "watch", "stop", "settings.sendAs.get", "settings.sendAs.list"}, id) {
		return true
	}
	part, _, _ := strings.Cut(id, ".")
	return slices.Contains([]string{"drafts", "history", "labels", "messages", "threads"}, part)
}

// TestFidelityGoogleOperations calls every method of the description through
// Google's client, and says what became of each.
func TestFidelityGoogleOperations(t *testing.T) {
	g := newGoogleWorld(t, loadDiscovery(t))
	served := googleOperations()
	settings := googleSettings()
	nServed, nRefused, nMissing := 0, 0, 0
	for _, id := range slices.Sorted(maps.Keys(g.doc.methods)) {
		m := g.doc.methods[id]
		op, there := served[id]
		if !there {
			if op, there = settings[id]; !there || mustServeGoogle(id) {
				nMissing++
				t.Errorf("MISSING  %s: it is neither served nor refused on purpose", id)
				continue
			}
		}
		if op.call == nil {
			nRefused++
			t.Logf("refused  %s", id)
		} else {
			nServed++
			g.serves(m, op)
		}
		g.refuses(m, op)
	}
	for id := range served {
		if g.doc.methods[id] == nil {
			t.Errorf("%s is not in the description", id)
		}
	}
	t.Logf("%d operations: %d served, %d refused on purpose, %d missing", len(g.doc.methods), nServed, nRefused, nMissing)
}

// serves checks that the method is answered, and that it was this method.
func (g *googleWorld) serves(m *discoveryMethod, op googleOperation) {
	g.Helper()
	if err := op.call(g, g.full); err != nil {
		g.Errorf("%s: %v", m.ID, err)
		return
	}
	g.Logf("served   %s (%d)", m.ID, g.full.status)
	g.valid(m, g.full)
}

// valid holds the last exchange against the description.
func (g *googleWorld) valid(m *discoveryMethod, c *googleClient) {
	g.Helper()
	if !m.made(c.method, c.path) {
		g.Errorf("%s: what was called is %s %s", m.ID, c.method, c.path)
	}
	if err := g.doc.validate(m, c.status, c.body); err != nil {
		g.Errorf("%s: %v in %.400s", m.ID, err, c.body)
	}
}

// refuses checks the method's own refusal, that of a token without scopes and
// that of a token which is none.
func (g *googleWorld) refuses(m *discoveryMethod, op googleOperation) {
	g.Helper()
	n := 0
	refused := func(c *googleClient, call func(*googleWorld, *googleClient) error, status int, reason string) {
		g.Helper()
		if gotStatus, gotReason := refusedWith(call(g, c)); gotStatus != status || gotReason != reason {
			g.Errorf("%s: refused with %d %q, want %d %q: %.300s", m.ID, gotStatus, gotReason, status, reason, c.body)
			return
		}
		g.valid(m, c)
		n++
	}
	call := op.call
	if call == nil {
		call = op.wrong
	}
	if op.wrong != nil {
		refused(g.full, op.wrong, op.status, op.reason)
	}
	refused(g.bare, call, 403, "insufficientPermissions")
	refused(g.gone, call, 401, "authError")
	if n < 2 {
		g.Errorf("%s: %d refusals, want two", m.ID, n)
	}
}

const noID = "0123456789abcdef" // of nothing

func rfc822() googleapi.MediaOption { return googleapi.ContentType("message/rfc822") }

// googleOperations are the methods of mail.
func googleOperations() map[string]googleOperation {
	ops := map[string]googleOperation{
		"getProfile": {
			func(_ *googleWorld, s *googleClient) error { return fails(s.Users.GetProfile("me").Do()) },
			func(_ *googleWorld, s *googleClient) error {
				return fails(s.Users.GetProfile("ada@contoso.example").Do())
			}, 403, "forbidden",
		},
		"watch": {
			func(g *googleWorld, s *googleClient) error {
				return fails(s.Users.Watch("me", &api.WatchRequest{TopicName: g.sb.State().GoogleTopic, LabelIds: []string{"INBOX"}, LabelFilterBehavior: "include"}).Do())
			},
			func(_ *googleWorld, s *googleClient) error {
				return fails(s.Users.Watch("me", &api.WatchRequest{TopicName: "projects/x/topics/y"}).Do())
			}, 400, "invalidArgument",
		},
		"stop": {func(_ *googleWorld, s *googleClient) error { return s.Users.Stop("me").Do() },
			func(_ *googleWorld, s *googleClient) error { return s.Users.Stop("ada@contoso.example").Do() }, 403, "forbidden"},
		"history.list": {
			func(g *googleWorld, s *googleClient) error {
				p, err := g.full.Users.GetProfile("me").Do()
				if err != nil {
					return err
				}
				m := g.message()
				if _, err := g.full.Users.Messages.Modify("me", m.Id, &api.ModifyMessageRequest{AddLabelIds: []string{"STARRED"}, RemoveLabelIds: []string{"UNREAD"}}).Do(); err != nil {
					return err
				}
				if err := g.full.Users.Messages.Delete("me", m.Id).Do(); err != nil {
					return err
				}
				return fails(s.Users.History.List("me").StartHistoryId(p.HistoryId).Do())
			},
			func(_ *googleWorld, s *googleClient) error {
				return fails(s.Users.History.List("me").StartHistoryId(1).Do())
			}, 404, "notFound",
		},
		"settings.sendAs.list": {func(_ *googleWorld, s *googleClient) error { return fails(s.Users.Settings.SendAs.List("me").Do()) }, nil, 0, ""},
		"settings.sendAs.get": {
			func(_ *googleWorld, s *googleClient) error {
				return fails(s.Users.Settings.SendAs.Get("me", alan).Do())
			},
			func(_ *googleWorld, s *googleClient) error {
				return fails(s.Users.Settings.SendAs.Get("me", "x@y.example").Do())
			}, 404, "notFound",
		},
	}
	for _, more := range []map[string]googleOperation{googleMessages(), googleDrafts(), googleLabels(), googleThreads()} {
		maps.Copy(ops, more)
	}
	return prefixed(ops)
}

// prefixed gives the methods the names that the description has.
func prefixed(ops map[string]googleOperation) map[string]googleOperation {
	out := map[string]googleOperation{}
	for id, op := range ops {
		out["gmail.users."+id] = op
	}
	return out
}

func googleMessages() map[string]googleOperation {
	star := &api.ModifyMessageRequest{AddLabelIds: []string{"STARRED"}}
	return map[string]googleOperation{
		"messages.list": {
			func(g *googleWorld, s *googleClient) error {
				g.message()
				g.message()
				return fails(s.Users.Messages.List("me").Q("subject:letter").LabelIds("INBOX", "UNREAD").IncludeSpamTrash(true).MaxResults(1).Do())
			},
			func(_ *googleWorld, s *googleClient) error {
				return fails(s.Users.Messages.List("me").PageToken("x").Do())
			}, 400, "invalidArgument",
		},
		"messages.get": {
			func(g *googleWorld, s *googleClient) error {
				id := g.message().Id
				for _, format := range []string{"minimal", "metadata", "raw"} {
					if _, err := g.full.Users.Messages.Get("me", id).Format(format).MetadataHeaders("Subject").Do(); err != nil {
						return err
					}
					g.valid(g.doc.methods["gmail.users.messages.get"], g.full)
				}
				return fails(s.Users.Messages.Get("me", id).Do())
			},
			func(_ *googleWorld, s *googleClient) error { return fails(s.Users.Messages.Get("me", noID).Do()) }, 404, "notFound",
		},
		"messages.send": {
			func(g *googleWorld, s *googleClient) error {
				return fails(s.Users.Messages.Send("me", nil).Media(strings.NewReader(g.letter()), rfc822()).Do())
			},
			func(_ *googleWorld, s *googleClient) error {
				return fails(s.Users.Messages.Send("me", &api.Message{Raw: webBase64("Subject: nobody\r\n\r\nx")}).Do())
			}, 400, "invalidArgument",
		},
		"messages.insert": {
			func(g *googleWorld, s *googleClient) error {
				return fails(s.Users.Messages.Insert("me", &api.Message{LabelIds: []string{"INBOX"}}).InternalDateSource("dateHeader").Media(strings.NewReader(g.letter()), rfc822()).Do())
			},
			func(g *googleWorld, s *googleClient) error {
				return fails(s.Users.Messages.Insert("me", &api.Message{Raw: webBase64(g.letter()), LabelIds: []string{"Label_9999"}}).Do())
			}, 400, "invalidArgument",
		},
		"messages.import": {
			func(g *googleWorld, s *googleClient) error {
				return fails(s.Users.Messages.Import("me", &api.Message{LabelIds: []string{"INBOX"}}).NeverMarkSpam(true).Media(strings.NewReader(g.letter()), rfc822()).Do())
			},
			func(_ *googleWorld, s *googleClient) error {
				return fails(s.Users.Messages.Import("me", &api.Message{}).Do())
			}, 400, "invalidArgument",
		},
		"messages.modify": {
			func(g *googleWorld, s *googleClient) error {
				return fails(s.Users.Messages.Modify("me", g.message().Id, star).Do())
			},
			func(_ *googleWorld, s *googleClient) error {
				return fails(s.Users.Messages.Modify("me", noID, star).Do())
			}, 404, "notFound",
		},
		"messages.trash": {
			func(g *googleWorld, s *googleClient) error {
				return fails(s.Users.Messages.Trash("me", g.message().Id).Do())
			},
			func(_ *googleWorld, s *googleClient) error { return fails(s.Users.Messages.Trash("me", noID).Do()) }, 404, "notFound",
		},
		"messages.untrash": {
			func(g *googleWorld, s *googleClient) error {
				return fails(s.Users.Messages.Untrash("me", g.message().Id).Do())
			},
			func(_ *googleWorld, s *googleClient) error {
				return fails(s.Users.Messages.Untrash("me", "not an id").Do())
			}, 400, "invalidArgument",
		},
		"messages.delete": {
			func(g *googleWorld, s *googleClient) error { return s.Users.Messages.Delete("me", g.message().Id).Do() },
			func(_ *googleWorld, s *googleClient) error { return s.Users.Messages.Delete("me", noID).Do() }, 404, "notFound",
		},
		"messages.batchModify": {
			func(g *googleWorld, s *googleClient) error {
				return s.Users.Messages.BatchModify("me", &api.BatchModifyMessagesRequest{Ids: []string{g.message().Id, g.message().Id}, AddLabelIds: []string{"STARRED"}}).Do()
			},
			func(g *googleWorld, s *googleClient) error {
				return s.Users.Messages.BatchModify("me", &api.BatchModifyMessagesRequest{Ids: []string{g.message().Id}, AddLabelIds: []string{"Label_9999"}}).Do()
			}, 400, "invalidArgument",
		},
		"messages.batchDelete": {
			func(g *googleWorld, s *googleClient) error {
				return s.Users.Messages.BatchDelete("me", &api.BatchDeleteMessagesRequest{Ids: []string{g.message().Id}}).Do()
			},
			func(_ *googleWorld, s *googleClient) error {
				return s.Users.Messages.BatchDelete("me", &api.BatchDeleteMessagesRequest{}).Do()
			}, 400, "invalidArgument",
		},
		"messages.attachments.get": {
			func(g *googleWorld, s *googleClient) error {
				m, err := g.full.Users.Messages.Get("me", g.message().Id).Do()
				if err != nil {
					return err
				}
				return fails(s.Users.Messages.Attachments.Get("me", m.Id, m.Payload.Parts[1].Body.AttachmentId).Do())
			},
			func(_ *googleWorld, s *googleClient) error {
				return fails(s.Users.Messages.Attachments.Get("me", noID, "x").Do())
			}, 404, "notFound",
		},
	}
}
