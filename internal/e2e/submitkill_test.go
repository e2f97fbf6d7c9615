package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/smtp"
	"strings"
	"sync"
	"testing"
	"time"
)

// trySend submits a message. answered is whether the program has heard what
// became of it.
func (p *submitter) trySend(door, raw, to string) (answered bool, err error) {
	c, err := smtp.Dial(door)
	if err != nil {
		return false, err
	}
	defer c.Close()
	if err := c.Auth(smtp.PlainAuth("", p.address, p.password, "127.0.0.1")); err != nil {
		return false, err
	}
	if err := c.Mail(p.address); err != nil {
		return false, err
	}
	if err := c.Rcpt(to); err != nil {
		return false, err
	}
	w, err := c.Data()
	if err != nil {
		return false, err
	}
	if _, err := w.Write([]byte(raw)); err != nil {
		return false, err
	}
	if err := w.Close(); err != nil {
		return false, err
	}
	return true, nil
}

// TestSubmittingThroughKills: a program submits one message after another, and
// each again until it has heard of it, while the gateway is killed again and
// again. Each is sent once, whether its answer was lost or not.
func TestSubmittingThroughKills(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	programs := []*submitter{s.submitter(ada), s.submitter(alanAtGmail)}
	reader := grace
	door := s.smtpDoor()
	const kills, each = 4, 15
	before := map[string]int{}
	var wg sync.WaitGroup
	beat := make(chan struct{}) // a message was answered
	again := make([]int, len(programs))
	for i, p := range programs {
		before[p.address] = p.upstream()
		wg.Go(func() {
			for n := range each {
				raw := p.letter(reader, fmt.Sprintf("through kills %d", n))
				for {
					answered, err := p.trySend(door, raw, reader)
					if answered {
						break
					}
					if strings.HasPrefix(err.Error(), "5") {
						t.Errorf("%s, message %d: %v", p.address, n, err)
						break
					}
					again[i]++
					time.Sleep(10 * time.Millisecond) // the gateway may be away
				}
				select {
				case beat <- struct{}{}:
				default:
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
kills:
	for range kills {
		for range 1 + rng.IntN(5) {
			select {
			case <-beat:
			case <-done:
				break kills
			}
		}
		s.halt()
		s.start()
	}
	<-done
	for _, p := range programs {
		p.demo = s.demo // the gateway of now
		p.eventually("each message was sent by "+p.address+" once", func() bool {
			now := p.upstream()
			p.lastDiff = fmt.Sprintf("%d messages, want %d", now-before[p.address], each)
			return now-before[p.address] == each
		})
	}
	// What left twice may be in Sent once, and what is at the provider may be a
	// draft that has yet to leave.
	s.eventually("each message left once", func() bool {
		var counted struct {
			Sent int `json:"messages_sent"`
		}
		s.control("GET", "/control/counters", "", &counted)
		s.lastDiff = fmt.Sprintf("%d messages left, want %d", counted.Sent, each*len(programs))
		return counted.Sent == each*len(programs)
	})
	t.Logf("tried again %v times", again)
}

// TestOneSentCopyThroughAKill: a program that stores its copy in Sent before it
// sends has one there, though the gateway is killed between the two.
func TestOneSentCopyThroughAKill(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	programs := []*submitter{s.submitter(ada), s.submitter(alanAtGmail)}
	const subject = "stored before a kill"
	before := make([]int, len(programs))
	for i, p := range programs {
		before[i] = p.upstream()
		p.keep(p.letter(grace, subject))
	}
	s.halt()
	s.start()
	for i, p := range programs {
		p = s.submitterOf(p)
		if err := p.send(p.letter(grace, subject), grace); err != nil {
			t.Fatal(err)
		}
		p.eventually("what "+p.address+" has sent is in Sent once", func() bool {
			here, there := len(p.find(p.sent, subject)), p.upstream()-before[i]
			p.lastDiff = fmt.Sprintf("%d in %s, %d messages more at the provider", here, p.sent, there)
			return here == 1 && there == 1
		})
	}
}
