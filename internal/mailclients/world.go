package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// world is a running demo and the folder in which the programs work.
type world struct {
	dir     string
	modules string
	demo    *exec.Cmd
	ended   chan struct{} // the demo has
	info    demoInfo
	caFile  string
	// passwords and ids of the accounts by address.
	ada, grace, alan account
}

type account struct {
	ID, Address, Password string
}

// demoInfo is what we read of demo.json.
type demoInfo struct {
	GraphQL      string
	APIKey       string `json:"api_key"`
	IMAP, SMTP   string
	AppPasswords map[string]string `json:"app_passwords"`
	Sandbox      struct{ Control string }
	Accounts     []struct{ ID, Address, Provider string }
}

// newWorld starts a demo on free ports and waits until it is ready.
func newWorld(ctx context.Context, bin, mail string) (*world, error) {
	dir, err := os.MkdirTemp("", "postern-clients-")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir}
	if err := w.start(ctx, bin, mail); err != nil {
		return nil, errors.Join(err, w.stop())
	}
	return w, nil
}

func (w *world) start(ctx context.Context, bin, mail string) error {
	if mail == "" {
		if _, err := os.Stat("../shared/corpus/mail"); err == nil {
			mail = "../shared/corpus/mail"
		}
	}
	args := []string{"demo", "--free", "--mute", "--dir", filepath.Join(w.dir, "demo")}
	if mail != "" {
		args = append(args, "--mail", mail)
	}
	logFile, err := os.Create(filepath.Join(w.dir, "demo.log"))
	if err != nil {
		return err
	}
	defer logFile.Close()
	w.demo = exec.Command(filepath.Join(bin, "postern"), args...)
	w.demo.Stdout, w.demo.Stderr = logFile, logFile
	w.demo.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := w.demo.Start(); err != nil {
		return fmt.Errorf("start the demo (make build?): %w", err)
	}
	w.ended = make(chan struct{})
	go func() {
		_ = w.demo.Wait() // ProcessState tells
		close(w.ended)
	}()
	err = until(ctx, 3*time.Minute, "the demo is ready", func() (bool, error) {
		b, err := os.ReadFile(filepath.Join(w.dir, "demo", "demo.json"))
		if err != nil {
			select {
			case <-w.ended:
				words, err := os.ReadFile(logFile.Name())
				return false, errors.Join(fmt.Errorf("the demo ended, %s: %s", w.demo.ProcessState, tail(string(words), 2000)), err)
			default:
				return false, nil
			}
		}
		return json.Unmarshal(b, &w.info) == nil, nil
	})
	if err != nil {
		return err
	}
	if len(w.info.Accounts) < 3 || w.info.IMAP == "" || w.info.SMTP == "" {
		return errors.New("the demo's doors for mail programs are not open")
	}
	for i, a := range []*account{&w.ada, &w.grace, &w.alan} {
		told := w.info.Accounts[i]
		*a = account{told.ID, told.Address, w.info.AppPasswords[told.Address]}
	}
	base := strings.TrimSuffix(w.info.GraphQL, "/graphql")
	ca, err := get(ctx, base+"/ca.pem")
	if err != nil {
		return fmt.Errorf("the local authority: %w", err)
	}
	w.caFile = filepath.Join(w.dir, "ca.pem")
	return os.WriteFile(w.caFile, ca, 0o644)
}

func (w *world) stop() error {
	if w.demo == nil || w.demo.Process == nil {
		return os.RemoveAll(w.dir)
	}
	_ = w.demo.Process.Signal(syscall.SIGTERM)
	select {
	case <-w.ended:
	case <-time.After(30 * time.Second):
		_ = syscall.Kill(-w.demo.Process.Pid, syscall.SIGKILL)
		<-w.ended
	}
	if os.Getenv("KEEP") == "1" {
		fmt.Println("kept:", w.dir)
		return nil
	}
	return os.RemoveAll(w.dir)
}

// ports gives the ports of the doors. Both are on this machine.
func (w *world) ports() (imap, smtp string) {
	port := func(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }
	return port(w.info.IMAP), port(w.info.SMTP)
}

// home makes a folder for one program.
func (w *world) home(client string) (string, error) {
	dir := filepath.Join(w.dir, client)
	return dir, os.MkdirAll(dir, 0o700)
}

// truth is a message as a provider has it.
type truth struct {
	ID        string
	Mailboxes []string
	Keywords  []string
	Size      int64
	SHA256    string
}

// truths asks the sandbox what an account has.
func (w *world) truths(ctx context.Context, address string) ([]truth, error) {
	b, err := get(ctx, w.info.Sandbox.Control+"/control/users/"+url.PathEscape(address)+"/messages")
	if err != nil {
		return nil, err
	}
	var out []truth
	return out, json.Unmarshal(b, &out)
}

// digests gives the SHA-256 of what is in an account's inbox, as the provider
// has the bytes, sorted. Which messages those are the gateway tells: the
// provider's ids of mailboxes are its own.
func (w *world) digests(ctx context.Context, a account) ([]string, error) {
	byDigest, err := w.inbox(ctx, a)
	if err != nil {
		return nil, err
	}
	var out []string
	for digest, ids := range byDigest {
		for range ids {
			out = append(out, digest)
		}
	}
	slices.Sort(out)
	return out, nil
}

// inbox gives the ids of the messages in an account's inbox by the SHA-256 of
// their bytes at the provider.
func (w *world) inbox(ctx context.Context, a account) (map[string][]string, error) {
	all, err := w.truths(ctx, a.Address)
	if err != nil {
		return nil, err
	}
	byID := map[string]string{}
	for _, t := range all {
		byID[t.ID] = t.SHA256
	}
	var boxes struct {
		Account struct{ Mailboxes []struct{ ID, Role string } }
	}
	if err := w.query(ctx, `query($id: ID!) { account(id: $id) { mailboxes { id role } } }`, map[string]any{"id": a.ID}, &boxes); err != nil {
		return nil, err
	}
	inbox := ""
	for _, b := range boxes.Account.Mailboxes {
		if b.Role == "INBOX" {
			inbox = b.ID
		}
	}
	out := map[string][]string{}
	for after := any(nil); ; {
		var page struct {
			Account struct {
				Messages struct {
					Edges []struct {
						Node struct{ ID, ProviderID string }
					}
					PageInfo struct {
						EndCursor   string
						HasNextPage bool
					}
				}
			}
		}
		err := w.query(ctx, `query($id: ID!, $in: ID!, $after: String) { account(id: $id) { messages(first: 200, after: $after, filter: {inMailbox: $in}) {
			edges { node { id providerId } } pageInfo { endCursor hasNextPage } } } }`, map[string]any{"id": a.ID, "in": inbox, "after": after}, &page)
		if err != nil {
			return nil, err
		}
		for _, e := range page.Account.Messages.Edges {
			digest, ok := byID[e.Node.ProviderID]
			if !ok {
				return nil, fmt.Errorf("the provider has no message %s", e.Node.ProviderID)
			}
			out[digest] = append(out[digest], e.Node.ID)
		}
		if !page.Account.Messages.PageInfo.HasNextPage {
			return out, nil
		}
		after = page.Account.Messages.PageInfo.EndCursor
	}
}

// raw gives a message's bytes, which must have the provider's digest.
func (w *world) raw(ctx context.Context, id, want string) ([]byte, error) {
	var got struct{ Message struct{ Raw string } }
	if err := w.query(ctx, `query($id: ID!) { message(id: $id) { raw } }`, map[string]any{"id": id}, &got); err != nil {
		return nil, err
	}
	b, err := get(ctx, got.Message.Raw)
	if err == nil && digest(b) != want {
		err = fmt.Errorf("message %s has other bytes than at the provider", id)
	}
	return b, err
}

// deliver puts a message into an account at the provider.
func (w *world) deliver(ctx context.Context, address string, raw []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.info.Sandbox.Control+"/control/users/"+url.PathEscape(address)+"/messages", bytes.NewReader(raw))
	if err != nil {
		return err
	}
	_, err = do(req)
	return err
}

// query asks the GraphQL door.
func (w *world) query(ctx context.Context, query string, vars map[string]any, into any) error {
	body, err := json.Marshal(map[string]any{"query": query, "variables": vars})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.info.GraphQL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+w.info.APIKey)
	b, err := do(req)
	if err != nil {
		return err
	}
	var answer struct {
		Data   json.RawMessage
		Errors []struct{ Message string }
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return err
	}
	if len(answer.Errors) > 0 {
		return errors.New(answer.Errors[0].Message)
	}
	return json.Unmarshal(answer.Data, into)
}

// found is a message as the gateway tells it.
type found struct {
	ID, Subject string
	Keywords    []string
	Mailboxes   []struct{ Name, Role string }
}

// bySubject lists an account's messages of a subject.
func (w *world) bySubject(ctx context.Context, a account, subject string) ([]found, error) {
	var data struct {
		Account struct {
			Messages struct{ Edges []struct{ Node found } }
		}
	}
	err := w.query(ctx, `query($id: ID!, $s: String!) { account(id: $id) { messages(first: 100, filter: {subject: $s}) {
		edges { node { id subject keywords mailboxes { name role } } } } } }`, map[string]any{"id": a.ID, "s": subject}, &data)
	var out []found
	for _, e := range data.Account.Messages.Edges {
		out = append(out, e.Node)
	}
	return out, err
}

// arrives waits until an account has just one message of a subject in a
// mailbox of a role.
func (w *world) arrives(ctx context.Context, a account, subject, role string) error {
	var last []found
	err := until(ctx, 60*time.Second, "", func() (bool, error) {
		all, err := w.bySubject(ctx, a, subject)
		if err != nil {
			return false, err
		}
		last = slices.DeleteFunc(all, func(m found) bool {
			return !slices.ContainsFunc(m.Mailboxes, func(b struct{ Name, Role string }) bool { return strings.EqualFold(b.Role, role) })
		})
		return len(last) == 1, nil
	})
	if err != nil {
		return fmt.Errorf("%d messages %q in %s of %s, want one", len(last), subject, role, a.Address)
	}
	return nil
}

// keyword waits until a message has a keyword.
func (w *world) keyword(ctx context.Context, a account, subject, keyword string) error {
	return until(ctx, 30*time.Second, fmt.Sprintf("%q is %s", subject, keyword), func() (bool, error) {
		all, err := w.bySubject(ctx, a, subject)
		return len(all) > 0 && slices.Contains(all[0].Keywords, keyword), err
	})
}

// in waits until a message is in a mailbox of a name or role.
func (w *world) in(ctx context.Context, a account, subject, mailbox string) error {
	return until(ctx, 30*time.Second, fmt.Sprintf("%q is in %s", subject, mailbox), func() (bool, error) {
		all, err := w.bySubject(ctx, a, subject)
		// A program may move by a copy, and then there is one in the trash, too.
		return slices.ContainsFunc(all, func(m found) bool {
			return slices.ContainsFunc(m.Mailboxes, func(b struct{ Name, Role string }) bool {
				return strings.EqualFold(b.Name, mailbox) || strings.EqualFold(b.Role, mailbox)
			})
		}), err
	})
}

// message makes a small message.
func message(from, to, subject, text string) []byte {
	return []byte(strings.ReplaceAll(fmt.Sprintf("From: <%s>\nTo: <%s>\nSubject: %s\nMessage-ID: <%s@clients.example>\nDate: %s\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n%s\n",
		from, to, subject, digest([]byte(subject + time.Now().String()))[:20], time.Now().Format(time.RFC1123Z), text), "\n", "\r\n"))
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// until polls, since what is waited for is in another program.
func until(ctx context.Context, limit time.Duration, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		ok, err := done()
		if err != nil && ctx.Err() == nil {
			return err
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited for %s in vain", what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func get(ctx context.Context, from string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	return do(req)
}

func do(req *http.Request) ([]byte, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s: %s", req.URL.Path, resp.Status, b)
	}
	return b, err
}
