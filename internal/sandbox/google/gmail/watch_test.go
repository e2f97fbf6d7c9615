package gmail

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	api "google.golang.org/api/gmail/v1"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// told is how many notifications were published since the last call.
func (d *desk) told() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := d.published
	d.published = nil
	return out
}

func (d *desk) deliver(mailbox string) {
	d.Helper()
	if _, err := d.server.Deliver(d.Context(), alan, cloud.Delivery{Mailbox: mailbox, Raw: []byte(letterTo), Notify: true}); err != nil {
		d.Fatal(err)
	}
}

func TestWatch(t *testing.T) {
	d := newDesk(t, Settings{})
	got, err := d.api.Users.Watch("me", &api.WatchRequest{TopicName: topic}).Do()
	if err != nil {
		t.Fatal(err)
	}
	if want := d.clock.t.Add(7 * 24 * time.Hour).UnixMilli(); got.Expiration != want {
		t.Errorf("until %d, want %d", got.Expiration, want)
	}
	want := fmt.Sprintf(`%s %s {"emailAddress":"%s","historyId":%d}`, topic, pushAccount, alan, got.HistoryId)
	if told := d.told(); !slices.Equal(told, []string{want}) {
		t.Errorf("at once: %q, want %q", told, want)
	}
	d.deliver("")
	d.deliver("") // less than a second later: dropped
	told := d.told()
	if len(told) != 1 || strings.HasSuffix(told[0], fmt.Sprintf(`"historyId":%d}`, got.HistoryId)) {
		t.Errorf("of two at once: %q", told)
	}
	if n := d.counters.Report("google", alan).Notifications["rate_limited"]; n != 1 {
		t.Errorf("%d counted as dropped", n)
	}
	d.clock.advance(time.Second)
	d.deliver("")
	if told := d.told(); len(told) != 1 {
		t.Errorf("a second later: %q", told)
	}
	if _, err := d.server.Deliver(t.Context(), alan, cloud.Delivery{Raw: []byte(letterTo)}); err != nil || len(d.told()) != 0 {
		t.Errorf("of a silent delivery, %v", err)
	}
	if err := d.api.Users.Stop("me").Do(); err != nil {
		t.Fatal(err)
	}
	d.clock.advance(time.Minute)
	if d.deliver(""); len(d.told()) != 0 {
		t.Error("told after stop")
	}
	if err := d.api.Users.Stop("me").Do(); err != nil {
		t.Errorf("stop without a watch: %v", err)
	}
}

func TestWatchEnds(t *testing.T) {
	d := newDesk(t, Settings{NotifyEvery: -1, HistoryIDString: true})
	watch := func() {
		t.Helper()
		if _, err := d.api.Users.Watch("me", &api.WatchRequest{TopicName: topic}).Do(); err != nil {
			t.Fatal(err)
		}
		if told := d.told(); len(told) != 1 || !strings.HasSuffix(told[0], `"}`) {
			t.Errorf("%q", told)
		}
	}
	watch()
	d.deliver("")
	d.deliver("")
	if told := d.told(); len(told) != 2 {
		t.Errorf("without the rate: %q", told)
	}
	d.clock.advance(8 * 24 * time.Hour)
	if d.deliver(""); len(d.told()) != 0 {
		t.Error("told after its end")
	}
	watch()
	if n, err := d.server.Lifecycle(alan, "watch_expired"); n != 1 || err != nil {
		t.Errorf("%d watches, %v", n, err)
	}
	if d.deliver(""); len(d.told()) != 0 {
		t.Error("told after its expiry was played")
	}
	if _, err := d.server.Lifecycle(alan, "moon"); err == nil {
		t.Error("an unknown event was played")
	}
	if _, err := d.server.Lifecycle("nobody@x.example", "watch_expired"); err == nil {
		t.Error("of nobody")
	}
}

func TestWatchFilters(t *testing.T) {
	for _, c := range []struct {
		request        string
		inbox, archive int
	}{
		{`{"topicName":"` + topic + `","labelIds":["INBOX"]}`, 1, 0},
		{`{"topicName":"` + topic + `","labelIds":["INBOX"],"labelFilterBehavior":"include"}`, 1, 0},
		{`{"topicName":"` + topic + `","labelIds":["INBOX"],"labelFilterBehavior":"INCLUDE"}`, 1, 0},
		{`{"topicName":"` + topic + `","labelIds":["INBOX"],"labelFilterBehavior":"exclude"}`, 0, 1},
		{`{"topicName":"` + topic + `","labelIds":["INBOX"],"labelFilterAction":"exclude"}`, 0, 1},
		{`{"topicName":"` + topic + `","labelIds":["INBOX"],"labelFilterBehavior":"include","labelFilterAction":"exclude"}`, 1, 0},
		{`{"topicName":"` + topic + `"}`, 1, 1},
	} {
		d := newDesk(t, Settings{NotifyEvery: -1})
		resp, body := d.do("POST", "/gmail/v1/users/me/watch", http.Header{"Content-Type": {"application/json"}}, []byte(c.request))
		d.is(resp, body, 200, "expiration")
		d.told()
		d.deliver("inbox")
		inbox := len(d.told())
		d.deliver("archive")
		if archive := len(d.told()); inbox != c.inbox || archive != c.archive {
			t.Errorf("%s: told %d of the inbox and %d of the archive", c.request, inbox, archive)
		}
	}
}

func TestWatchRefusals(t *testing.T) {
	d := newDesk(t, Settings{})
	watch := func(topic, behaviour string, labels ...string) error {
		return errOf(d.api.Users.Watch("me", &api.WatchRequest{TopicName: topic, LabelIds: labels, LabelFilterBehavior: behaviour}).Do())
	}
	d.refusal(watch("", ""), 400, "invalidArgument", "Missing topicName")
	d.refusal(watch("gmail", ""), 400, "invalidArgument", "Invalid topicName does not match projects/postern-sandbox/topics/*")
	d.refusal(watch("projects/another-project/topics/gmail", ""), 400, "invalidArgument", "Invalid topicName does not match")
	d.refusal(watch(topic, "", "Label_77"), 400, "invalidArgument", "Invalid label: Label_77")
	d.refusal(watch(topic, "perhaps", "INBOX"), 400, "badRequest", "label_filter_behavior")
	d.refused = errors.New("no right to publish")
	d.refusal(watch(topic, ""), 403, "forbidden", "User not authorized to perform this action.")
	if d.deliver(""); len(d.server.mailbox(alan).out.Watches) != 0 {
		t.Error("the refused watch is in force")
	}
	d.refused = nil
	if err := watch(topic, ""); err != nil {
		t.Fatal(err)
	}
	if err := watch(topic, "", "INBOX"); err != nil {
		t.Errorf("renewing: %v", err)
	}
	d.refusal(watch("projects/postern-sandbox/topics/other", ""), 400, "invalidArgument", "Only one user push notification client allowed per developer (call /stop then try again)")
	d.mu.Lock()
	d.project = "second-project"
	d.mu.Unlock()
	if err := watch("projects/second-project/topics/gmail", ""); err != nil {
		t.Errorf("of another developer: %v", err)
	}
	d.clock.advance(time.Minute)
	d.told()
	if d.deliver(""); len(d.told()) != 2 {
		t.Error("not both developers were told")
	}
	d.server.opts.Publish = nil
	d.refusal(watch("projects/second-project/topics/gmail", ""), 403, "forbidden", "User not authorized")
}
