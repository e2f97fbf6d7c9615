package fidelity

import (
	"strings"

	api "google.golang.org/api/gmail/v1"
)

func googleDrafts() map[string]googleOperation {
	return map[string]googleOperation{
		"drafts.list": {
			func(g *googleWorld, s *googleClient) error {
				g.draft()
				return fails(s.Users.Drafts.List("me").Q("subject:letter").MaxResults(5).Do())
			},
			func(_ *googleWorld, s *googleClient) error {
				return fails(s.Users.Drafts.List("me").PageToken("x").Do())
			}, 400, "invalidArgument",
		},
		"drafts.get": {
			func(g *googleWorld, s *googleClient) error { return fails(s.Users.Drafts.Get("me", g.draft()).Do()) },
			func(_ *googleWorld, s *googleClient) error { return fails(s.Users.Drafts.Get("me", "r-1").Do()) }, 404, "notFound",
		},
		"drafts.create": {
			func(g *googleWorld, s *googleClient) error {
				return fails(s.Users.Drafts.Create("me", &api.Draft{Message: &api.Message{}}).Media(strings.NewReader(g.letter()), rfc822()).Do())
			},
			func(_ *googleWorld, s *googleClient) error {
				return fails(s.Users.Drafts.Create("me", &api.Draft{Message: &api.Message{Raw: "%"}}).Do())
			}, 400, "badRequest",
		},
		"drafts.update": {
			func(g *googleWorld, s *googleClient) error {
				return fails(s.Users.Drafts.Update("me", g.draft(), &api.Draft{Message: &api.Message{Raw: webBase64(g.letter())}}).Do())
			},
			func(g *googleWorld, s *googleClient) error {
				return fails(s.Users.Drafts.Update("me", "r-1", &api.Draft{Message: &api.Message{Raw: webBase64(g.letter())}}).Do())
			}, 404, "notFound",
		},
		"drafts.send": {
			func(g *googleWorld, s *googleClient) error {
				return fails(s.Users.Drafts.Send("me", &api.Draft{Id: g.draft()}).Do())
			},
			func(_ *googleWorld, s *googleClient) error {
				return fails(s.Users.Drafts.Send("me", &api.Draft{Id: "r-1"}).Do())
			}, 404, "notFound",
		},
		"drafts.delete": {
			func(g *googleWorld, s *googleClient) error { return s.Users.Drafts.Delete("me", g.draft()).Do() },
			func(_ *googleWorld, s *googleClient) error { return s.Users.Drafts.Delete("me", "r-1").Do() }, 404, "notFound",
		},
	}
}

func googleLabels() map[string]googleOperation {
	return map[string]googleOperation{
		"labels.list": {
			func(g *googleWorld, s *googleClient) error {
				g.label()
				return fails(s.Users.Labels.List("me").Do())
			},
			func(_ *googleWorld, s *googleClient) error {
				return fails(s.Users.Labels.List("ada@contoso.example").Do())
			}, 403, "forbidden",
		},
		"labels.get": {
			func(_ *googleWorld, s *googleClient) error { return fails(s.Users.Labels.Get("me", "INBOX").Do()) },
			func(_ *googleWorld, s *googleClient) error { return fails(s.Users.Labels.Get("me", "Label_9999").Do()) }, 404, "notFound",
		},
		"labels.create": {
			func(g *googleWorld, s *googleClient) error {
				return fails(s.Users.Labels.Create("me", &api.Label{Name: g.unique("made "), MessageListVisibility: "hide", LabelListVisibility: "labelShowIfUnread",
					Color: &api.LabelColor{TextColor: "#ffffff", BackgroundColor: "#16a766"}}).Do())
			},
			func(_ *googleWorld, s *googleClient) error {
				return fails(s.Users.Labels.Create("me", &api.Label{Name: "Inbox"}).Do())
			}, 400, "invalidArgument",
		},
		"labels.update": {
			func(g *googleWorld, s *googleClient) error {
				id := g.label()
				return fails(s.Users.Labels.Update("me", id, &api.Label{Id: id, Name: g.unique("renamed ")}).Do())
			},
			func(g *googleWorld, s *googleClient) error {
				taken := g.unique("taken ")
				if _, err := g.full.Users.Labels.Create("me", &api.Label{Name: taken}).Do(); err != nil {
					return err
				}
				id := g.label()
				return fails(s.Users.Labels.Update("me", id, &api.Label{Id: id, Name: taken}).Do())
			}, 409, "aborted",
		},
		"labels.patch": {
			func(g *googleWorld, s *googleClient) error {
				return fails(s.Users.Labels.Patch("me", g.label(), &api.Label{LabelListVisibility: "labelHide"}).Do())
			},
			func(_ *googleWorld, s *googleClient) error {
				return fails(s.Users.Labels.Patch("me", "Label_9999", &api.Label{Name: "x"}).Do())
			}, 404, "notFound",
		},
		"labels.delete": {
			func(g *googleWorld, s *googleClient) error { return s.Users.Labels.Delete("me", g.label()).Do() },
			func(_ *googleWorld, s *googleClient) error { return s.Users.Labels.Delete("me", "Label_9999").Do() }, 404, "notFound",
		},
	}
}

func googleThreads() map[string]googleOperation {
	star := &api.ModifyThreadRequest{AddLabelIds: []string{"STARRED"}}
	return map[string]googleOperation{
		"threads.list": {
			func(g *googleWorld, s *googleClient) error {
				g.message()
				return fails(s.Users.Threads.List("me").LabelIds("INBOX").Q("subject:letter").MaxResults(1).Do())
			},
			func(_ *googleWorld, s *googleClient) error {
				return fails(s.Users.Threads.List("me").LabelIds("Label_9999").Do())
			}, 400, "invalidArgument",
		},
		"threads.get": {
			func(g *googleWorld, s *googleClient) error {
				return fails(s.Users.Threads.Get("me", g.message().ThreadId).Do())
			},
			func(_ *googleWorld, s *googleClient) error { return fails(s.Users.Threads.Get("me", noID).Do()) }, 404, "notFound",
		},
		"threads.modify": {
			func(g *googleWorld, s *googleClient) error {
				return fails(s.Users.Threads.Modify("me", g.message().ThreadId, star).Do())
			},
			func(_ *googleWorld, s *googleClient) error {
				return fails(s.Users.Threads.Modify("me", noID, star).Do())
			}, 404, "notFound",
		},
		"threads.trash": {
			func(g *googleWorld, s *googleClient) error {
				return fails(s.Users.Threads.Trash("me", g.message().ThreadId).Do())
			},
			func(_ *googleWorld, s *googleClient) error { return fails(s.Users.Threads.Trash("me", noID).Do()) }, 404, "notFound",
		},
		"threads.untrash": {
			func(g *googleWorld, s *googleClient) error {
				return fails(s.Users.Threads.Untrash("me", g.message().ThreadId).Do())
			},
			func(_ *googleWorld, s *googleClient) error { return fails(s.Users.Threads.Untrash("me", noID).Do()) }, 404, "notFound",
		},
		"threads.delete": {
			func(g *googleWorld, s *googleClient) error {
				return s.Users.Threads.Delete("me", g.message().ThreadId).Do()
			},
			func(_ *googleWorld, s *googleClient) error { return s.Users.Threads.Delete("me", noID).Do() }, 404, "notFound",
		},
	}
}

// googleSettings are the methods of the settings that Postern never calls: some
// are served, the others are refused in Gmail's words. A nil call is refused on
// purpose.
func googleSettings() map[string]googleOperation {
	const forbidden, precondition = "forbidden", "failedPrecondition"
	type world = googleWorld
	type client = googleClient
	served := func(call func(*world, *client) error) googleOperation { return googleOperation{call: call} }
	refused := func(status int, reason string, wrong func(*world, *client) error) googleOperation {
		return googleOperation{wrong: wrong, status: status, reason: reason}
	}
	alias := func(g *world) string {
		g.Helper()
		a, err := g.full.Users.Settings.SendAs.Create("me", &api.SendAs{SendAsEmail: g.unique("alias") + "@elsewhere.example"}).Do()
		if err != nil {
			g.Fatal(err)
		}
		return a.SendAsEmail
	}
	ops := map[string]googleOperation{
		"getAutoForwarding": served(func(_ *world, s *client) error { return fails(s.Users.Settings.GetAutoForwarding("me").Do()) }),
		"getImap":           served(func(_ *world, s *client) error { return fails(s.Users.Settings.GetImap("me").Do()) }),
		"getLanguage":       served(func(_ *world, s *client) error { return fails(s.Users.Settings.GetLanguage("me").Do()) }),
		"getPop":            served(func(_ *world, s *client) error { return fails(s.Users.Settings.GetPop("me").Do()) }),
		"getVacation":       served(func(_ *world, s *client) error { return fails(s.Users.Settings.GetVacation("me").Do()) }),
		"updateAutoForwarding": served(func(_ *world, s *client) error {
			return fails(s.Users.Settings.UpdateAutoForwarding("me", &api.AutoForwarding{Disposition: "archive"}).Do())
		}),
		"updateImap": served(func(_ *world, s *client) error {
			return fails(s.Users.Settings.UpdateImap("me", &api.ImapSettings{Enabled: true}).Do())
		}),
		"updateLanguage": served(func(_ *world, s *client) error {
			return fails(s.Users.Settings.UpdateLanguage("me", &api.LanguageSettings{DisplayLanguage: "de"}).Do())
		}),
		"updatePop": served(func(_ *world, s *client) error {
			return fails(s.Users.Settings.UpdatePop("me", &api.PopSettings{AccessWindow: "disabled"}).Do())
		}),
		"updateVacation": served(func(_ *world, s *client) error {
			return fails(s.Users.Settings.UpdateVacation("me", &api.VacationSettings{EnableAutoReply: true, ResponseSubject: "away", StartTime: 1, EndTime: 2}).Do())
		}),
		"filters.list":             served(func(_ *world, s *client) error { return fails(s.Users.Settings.Filters.List("me").Do()) }),
		"delegates.list":           served(func(_ *world, s *client) error { return fails(s.Users.Settings.Delegates.List("me").Do()) }),
		"forwardingAddresses.list": served(func(_ *world, s *client) error { return fails(s.Users.Settings.ForwardingAddresses.List("me").Do()) }),
		"sendAs.create": served(func(g *world, s *client) error {
			return fails(s.Users.Settings.SendAs.Create("me", &api.SendAs{SendAsEmail: g.unique("as") + "@elsewhere.example", DisplayName: "A"}).Do())
		}),
		"sendAs.update": served(func(g *world, s *client) error {
			return fails(s.Users.Settings.SendAs.Update("me", alias(g), &api.SendAs{Signature: "--"}).Do())
		}),
		"sendAs.patch": served(func(g *world, s *client) error {
			return fails(s.Users.Settings.SendAs.Patch("me", alias(g), &api.SendAs{TreatAsAlias: true}).Do())
		}),
		"sendAs.delete": served(func(g *world, s *client) error { return s.Users.Settings.SendAs.Delete("me", alias(g)).Do() }),
		"sendAs.verify": served(func(g *world, s *client) error { return s.Users.Settings.SendAs.Verify("me", alias(g)).Do() }),

		"filters.get":    refused(404, "notFound", func(_ *world, s *client) error { return fails(s.Users.Settings.Filters.Get("me", "f").Do()) }),
		"filters.delete": refused(404, "notFound", func(_ *world, s *client) error { return s.Users.Settings.Filters.Delete("me", "f").Do() }),
		"filters.create": refused(400, precondition, func(_ *world, s *client) error {
			return fails(s.Users.Settings.Filters.Create("me", &api.Filter{}).Do())
		}),
		"delegates.get": refused(404, "notFound", func(_ *world, s *client) error {
			return fails(s.Users.Settings.Delegates.Get("me", "d@x.example").Do())
		}),
		"delegates.delete": refused(404, "notFound", func(_ *world, s *client) error { return s.Users.Settings.Delegates.Delete("me", "d@x.example").Do() }),
		"delegates.create": refused(403, forbidden, func(_ *world, s *client) error {
			return fails(s.Users.Settings.Delegates.Create("me", &api.Delegate{DelegateEmail: "d@x.example"}).Do())
		}),
		"forwardingAddresses.get": refused(404, "notFound", func(_ *world, s *client) error {
			return fails(s.Users.Settings.ForwardingAddresses.Get("me", "f@x.example").Do())
		}),
		"forwardingAddresses.delete": refused(404, "notFound", func(_ *world, s *client) error {
			return s.Users.Settings.ForwardingAddresses.Delete("me", "f@x.example").Do()
		}),
		"forwardingAddresses.create": refused(403, forbidden, func(_ *world, s *client) error {
			return fails(s.Users.Settings.ForwardingAddresses.Create("me", &api.ForwardingAddress{ForwardingEmail: "f@x.example"}).Do())
		}),
		"cse.identities.create": refused(400, precondition, func(_ *world, s *client) error {
			return fails(s.Users.Settings.Cse.Identities.Create("me", &api.CseIdentity{EmailAddress: alan}).Do())
		}),
		"cse.identities.delete": refused(400, precondition, func(_ *world, s *client) error { return s.Users.Settings.Cse.Identities.Delete("me", alan).Do() }),
		"cse.identities.get":    refused(400, precondition, func(_ *world, s *client) error { return fails(s.Users.Settings.Cse.Identities.Get("me", alan).Do()) }),
		"cse.identities.list": refused(400, precondition, func(_ *world, s *client) error {
			return fails(s.Users.Settings.Cse.Identities.List("me").PageSize(5).Do())
		}),
		"cse.identities.patch": refused(400, precondition, func(_ *world, s *client) error {
			return fails(s.Users.Settings.Cse.Identities.Patch("me", alan, &api.CseIdentity{}).Do())
		}),
		"cse.keypairs.create": refused(400, precondition, func(_ *world, s *client) error {
			return fails(s.Users.Settings.Cse.Keypairs.Create("me", &api.CseKeyPair{}).Do())
		}),
		"cse.keypairs.disable": refused(400, precondition, func(_ *world, s *client) error {
			return fails(s.Users.Settings.Cse.Keypairs.Disable("me", "k", &api.DisableCseKeyPairRequest{}).Do())
		}),
		"cse.keypairs.enable": refused(400, precondition, func(_ *world, s *client) error {
			return fails(s.Users.Settings.Cse.Keypairs.Enable("me", "k", &api.EnableCseKeyPairRequest{}).Do())
		}),
		"cse.keypairs.get":  refused(400, precondition, func(_ *world, s *client) error { return fails(s.Users.Settings.Cse.Keypairs.Get("me", "k").Do()) }),
		"cse.keypairs.list": refused(400, precondition, func(_ *world, s *client) error { return fails(s.Users.Settings.Cse.Keypairs.List("me").Do()) }),
		"cse.keypairs.obliterate": refused(400, precondition, func(_ *world, s *client) error {
			return s.Users.Settings.Cse.Keypairs.Obliterate("me", "k", &api.ObliterateCseKeyPairRequest{}).Do()
		}),
		"sendAs.smimeInfo.delete": refused(400, precondition, func(_ *world, s *client) error { return s.Users.Settings.SendAs.SmimeInfo.Delete("me", alan, "i").Do() }),
		"sendAs.smimeInfo.get": refused(400, precondition, func(_ *world, s *client) error {
			return fails(s.Users.Settings.SendAs.SmimeInfo.Get("me", alan, "i").Do())
		}),
		"sendAs.smimeInfo.insert": refused(400, precondition, func(_ *world, s *client) error {
			return fails(s.Users.Settings.SendAs.SmimeInfo.Insert("me", alan, &api.SmimeInfo{}).Do())
		}),
		"sendAs.smimeInfo.list": refused(400, precondition, func(_ *world, s *client) error { return fails(s.Users.Settings.SendAs.SmimeInfo.List("me", alan).Do()) }),
		"sendAs.smimeInfo.setDefault": refused(400, precondition, func(_ *world, s *client) error {
			return s.Users.Settings.SendAs.SmimeInfo.SetDefault("me", alan, "i").Do()
		}),
	}
	out := map[string]googleOperation{}
	for id, op := range ops {
		out["settings."+id] = op
	}
	return prefixed(out)
}
