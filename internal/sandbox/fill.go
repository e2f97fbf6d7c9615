package sandbox

import (
	"context"
	"fmt"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/mailfile"
	"github.com/postern-mail/postern/internal/sandbox/seed"
)

// fill makes the first users and gives them mail. With Options.Mail the first
// user's inbox is that folder's mail instead of generated mail.
func (s *Sandbox) fill(ctx context.Context) error {
	for i, u := range s.opts.Users {
		if _, err := s.newUser(u); err != nil {
			return err
		}
		if s.opts.NoSeed {
			continue
		}
		peer := s.opts.Users[(i+1)%len(s.opts.Users)]
		mail, err := seed.Mailbox(s.opts.Seed, seed.Person{Name: u.Name, Address: u.Address},
			seed.Person{Name: peer.Name, Address: peer.Address}, s.opts.Now())
		if err != nil {
			return err
		}
		for _, d := range mail {
			if i == 0 && s.opts.Mail != "" && d.Mailbox == "" {
				continue
			}
			if err := s.place(ctx, u.Address, d); err != nil {
				return err
			}
		}
	}
	if s.opts.Mail == "" {
		return nil
	}
	if len(s.opts.Users) == 0 {
		return fmt.Errorf("load mail from %s: there is no user to have it", s.opts.Mail)
	}
	messages, skipped, err := mailfile.Load(s.opts.Mail)
	if err != nil {
		return err
	}
	if len(messages) == 0 {
		return fmt.Errorf("load mail from %s: there is no message in it, no .eml, no mbox and no maildir (%d other files)", s.opts.Mail, skipped)
	}
	for _, m := range messages {
		d := cloud.Delivery{Mailbox: "inbox", Date: m.Date, Keywords: m.Keywords, Raw: m.Raw}
		if err := s.place(ctx, s.opts.Users[0].Address, d); err != nil {
			return fmt.Errorf("%s: %w", m.Path, err)
		}
	}
	s.log.Info("mail loaded", "folder", s.opts.Mail, "messages", len(messages), "skipped", skipped)
	return nil
}

func (s *Sandbox) place(ctx context.Context, address string, d cloud.Delivery) error {
	c, u, ok := s.post.find(address)
	if !ok {
		return fmt.Errorf("no user %s", address)
	}
	_, err := c.Deliver(ctx, u.Address, d)
	return err
}
