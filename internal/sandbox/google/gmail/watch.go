package gmail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/directory"

	"github.com/postern-mail/postern/internal/sandbox/google/pubsub"
)

// pushAccount is who must be allowed to publish to a watch's topic.
const pushAccount = "gmail-api-push@system.gserviceaccount.com"

// watchLife is how long a watch lasts: "You must re-call watch at least once
// every 7 days".
const watchLife = 7 * 24 * time.Hour

// A watch tells a topic of what happens to a mailbox: that something did, and
// the history id by then. A mailbox has one for each developer project.
type watch struct {
	Topic   string    `json:"topic"`
	Labels  []string  `json:"labels,omitempty"` // none: every change
	Exclude bool      `json:"exclude,omitempty"`
	Expires time.Time `json:"expires"`
}

// wants reports whether a change of a message with these labels is told.
func (w *watch) wants(labels []string) bool {
	if len(w.Labels) == 0 {
		return true
	}
	return w.Exclude != slices.ContainsFunc(labels, func(l string) bool { return slices.Contains(w.Labels, l) })
}

var topicName = regexp.MustCompile(`^projects/([a-z][-a-z0-9:.]{4,61}[a-z0-9])/topics/([A-Za-z][A-Za-z0-9._~+%-]{2,254})$`)

// A watchRequest is DISC "WatchRequest". What it calls include and exclude may
// be written in capitals, as clients made of protocol buffers do.
type watchRequest struct {
	TopicName           string   `json:"topicName"`
	LabelIDs            []string `json:"labelIds"`
	LabelFilterBehavior string   `json:"labelFilterBehavior"`
	LabelFilterAction   string   `json:"labelFilterAction"` // its old name
}

type watchResponse struct {
	HistoryID  string `json:"historyId"`
	Expiration string `json:"expiration"` // ms
}

// watch answers users.watch: it begins a watch or renews it, and sends one
// notification at once, by which it also finds out whether it may publish.
func (c *call) watch() (any, error) {
	var in watchRequest
	if err := c.body(&in, maxJSON); err != nil {
		return nil, err
	}
	behaviour := in.LabelFilterBehavior
	if behaviour == "" {
		behaviour = in.LabelFilterAction
	}
	w := &watch{Topic: in.TopicName, Labels: in.LabelIDs, Expires: c.now.Add(watchLife)}
	switch behaviour {
	case "", "include", "INCLUDE":
	case "exclude", "EXCLUDE":
		w.Exclude = true
	default:
		return nil, errField("label_filter_behavior", "Invalid value at 'label_filter_behavior' (type.googleapis.com/caribou.api.proto.WatchRequest.LabelFilterBehavior), %q", clip(behaviour, 100))
	}
	if in.TopicName == "" {
		return nil, errInvalid("Missing topicName")
	}
	parts := topicName.FindStringSubmatch(in.TopicName)
	if parts == nil {
		return nil, errInvalid("Invalid topicName does not match projects/%s/topics/*", c.caller.Project)
	}
	if c.caller.Project != "" && parts[1] != c.caller.Project {
		return nil, errInvalid("Invalid topicName does not match projects/%s/topics/*", c.caller.Project)
	}
	var history uint64
	var old *watch
	err := c.locked(func() error {
		if err := c.mb.checkLabels(in.LabelIDs); err != nil {
			return err
		}
		if old = c.mb.out.Watches[c.caller.Project]; old != nil && old.Expires.After(c.now) && old.Topic != w.Topic {
			return errInvalid("Only one user push notification client allowed per developer (call /stop then try again)")
		}
		// It is in force before the notification is sent: no change falls between.
		c.mb.setWatch(c.caller.Project, w)
		history = c.mb.history
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := c.s.publish(c.mb, w.Topic, history); err != nil {
		c.s.opts.Log.Info("watch refused", "user", c.mb.user.ID, "error", err)
		if err := c.locked(func() error { c.mb.setWatch(c.caller.Project, old); return nil }); err != nil {
			return nil, err
		}
		test := "Error sending test message to Cloud PubSub " + w.Topic + " : "
		if errors.Is(err, pubsub.ErrNotFound) {
			return nil, &Error{
				Code: http.StatusNotFound, Status: "NOT_FOUND", Reason: "notFound",
				Message: test + "Resource not found (resource=" + path.Base(w.Topic) + ").",
			}
		}
		return nil, &Error{
			Code: http.StatusForbidden, Status: "PERMISSION_DENIED", Reason: "forbidden",
			Message: test + "User not authorized to perform this action.",
		}
	}
	return watchResponse{strconv.FormatUint(history, 10), strconv.FormatInt(w.Expires.UnixMilli(), 10)}, nil
}

// setWatch puts a watch in force; nil ends it.
func (mb *mailbox) setWatch(project string, w *watch) {
	if mb.out.Watches == nil {
		mb.out.Watches = map[string]*watch{}
	}
	if mb.out.Watches[project] = w; w == nil {
		delete(mb.out.Watches, project)
	}
}

// stop answers users.stop: it ends the watch, if there is one.
func (c *call) stop() (any, error) {
	return nil, c.locked(func() error {
		c.mb.setWatch(c.caller.Project, nil)
		return nil
	})
}

// notify tells the watches of a mailbox of a change. "Each Gmail user that is
// being watched has a maximum notification rate of one event per second. Any
// user notifications above that rate are dropped."
func (s *Server) notify(ch Change) {
	mb := s.mailbox(ch.User.ID)
	if mb == nil || ch.Silent {
		return
	}
	now := s.now()
	mb.mu.Lock()
	var topics []string
	for _, w := range mb.out.Watches {
		if w.Expires.After(now) && w.wants(ch.Labels) {
			topics = append(topics, w.Topic)
		}
	}
	every := s.set.NotifyEvery
	if every == 0 {
		every = time.Second
	}
	dropped := !mb.out.notified.IsZero() && now.Sub(mb.out.notified) < every
	if len(topics) > 0 && !dropped {
		mb.out.notified = now
	}
	history := mb.history
	mb.mu.Unlock()
	if len(topics) == 0 {
		return
	}
	if dropped {
		s.count(func() { s.opts.Counters.Notification(cloudName, mb.user.Address, "rate_limited") })
		return
	}
	for _, topic := range topics {
		if err := s.publish(mb, topic, history); err != nil {
			s.opts.Log.Warn("notification was not published", "user", mb.user.ID, "topic", topic, "error", err)
		}
	}
}

// publish hands {"emailAddress","historyId"} to a topic.
func (s *Server) publish(mb *mailbox, topic string, history uint64) error {
	if s.opts.Publish == nil {
		return fmt.Errorf("publish to %s: there are no topics", topic)
	}
	var id any = history // a number, though the documents show a string
	if s.set.HistoryIDString {
		id = strconv.FormatUint(history, 10)
	}
	data, err := json.Marshal(map[string]any{"emailAddress": mb.user.Address, "historyId": id})
	if err != nil {
		return fmt.Errorf("notification: %w", err)
	}
	// A change is told whether or not who made it waits for the answer.
	if err := s.opts.Publish(context.Background(), topic, pushAccount, data); err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	return nil
}

// Lifecycle plays an event: "watch_expired" ends the watches of a user now. It
// says how many there were.
func (s *Server) Lifecycle(address, event string) (int, error) {
	mb := s.mailbox(address)
	if mb == nil {
		return 0, fmt.Errorf("lifecycle of %s: %w", address, directory.ErrNoMailbox)
	}
	if event != "watch_expired" {
		return 0, fmt.Errorf("lifecycle: %q is not watch_expired", event)
	}
	n := 0
	err := s.locked(mb, func() error {
		for project, w := range mb.out.Watches {
			if w.Expires.After(s.now()) {
				n++
			}
			delete(mb.out.Watches, project)
		}
		return nil
	})
	return n, err
}
