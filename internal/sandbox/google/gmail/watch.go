package gmail

import "time"

// A watch tells a topic of what happens to a mailbox.
type watch struct {
	Topic   string    `json:"topic"`
	Labels  []string  `json:"labels,omitempty"`
	Exclude bool      `json:"exclude,omitempty"`
	Expires time.Time `json:"expires"`
}
