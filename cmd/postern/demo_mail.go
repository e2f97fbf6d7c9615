package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// demoSubject is the subject of what is sent from one provider to the other.
const demoSubject = "From one provider to the other"

// writeAcross sends a message from an account at the first provider to one at
// the second, and waits until it has arrived there and is in the mirror. A demo
// that goes on with a former one's world has it already.
func (d *demo) writeAcross(ctx context.Context) error {
	from, to := d.pair()
	if d.Mute || to.ID == "" || d.kept.Greeting != "" {
		return nil
	}
	began := time.Now()
	var sent struct{ SubmitMessage struct{ ID string } }
	err := d.client.do(ctx, `mutation($in: SubmitMessageInput!) { submitMessage(input: $in) { id } }`, map[string]any{"in": map[string]any{
		"account": from.ID, "to": []string{to.Address}, "subject": demoSubject, "text": "It went out by one plugin and came in by another."}}, &sent)
	if err != nil {
		return fmt.Errorf("send from %s to %s: %w", from.Address, to.Address, err)
	}
	// From here on the gateway sends it, also in the demo's next life.
	d.kept.Greeting = sent.SubmitMessage.ID
	if err := d.remember(); err != nil {
		return err
	}
	for {
		var got struct {
			Submission struct{ State, Error string }
			Account    struct {
				Messages struct {
					Edges []struct {
						Node struct {
							Subject    string
							ReceivedAt time.Time
						}
					}
				}
			}
		}
		err := d.client.do(ctx, `query($id: ID!, $account: ID!) { submission(id: $id) { state error }
			account(id: $account) { messages(first: 5) { edges { node { subject receivedAt } } } } }`,
			map[string]any{"id": sent.SubmitMessage.ID, "account": to.ID}, &got)
		if err != nil {
			return fmt.Errorf("look for the message at %s: %w", to.Address, err)
		}
		if got.Submission.State == "FAILED" {
			d.kept.Greeting = ""
			return errors.Join(fmt.Errorf("send from %s to %s: %s", from.Address, to.Address, got.Submission.Error), d.remember())
		}
		for _, e := range got.Account.Messages.Edges {
			// A demo that is kept has those of its former lives, too.
			if e.Node.Subject == demoSubject && !e.Node.ReceivedAt.Before(began.Truncate(time.Second)) {
				d.say("%s wrote to %s, who has it", from.Address, to.Address)
				return nil
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pair gives two accounts of different providers; the second is empty where
// there is but one provider.
func (d *demo) pair() (from, to demoAccount) {
	for _, a := range d.info.Accounts {
		switch {
		case from.ID == "":
			from = a
		case a.Provider != from.Provider:
			return from, a
		}
	}
	return from, demoAccount{}
}
