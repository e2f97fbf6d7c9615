package gmail

import "time"

// Values of setQuotaTable.
const (
	quotaNew = "new"
	quotaOld = "old"
)

// method is what a request of the API costs, and whether it may be repeated.
type method struct {
	// units and oldUnits are what it costs by either table ("Usage limits",
	// Gmail API).
	units, oldUnits int
	// once marks a method that must not be repeated when it may have been
	// carried out already.
	once bool
	// mails marks a method that sends mail, of which there is a cap a day.
	mails bool
}

// Methods and their costs.
var (
	getProfile          = method{units: 1, oldUnits: 1}
	labelsList          = method{units: 1, oldUnits: 1}
	labelsGet           = method{units: 1, oldUnits: 1}
	labelsCreate        = method{units: 5, oldUnits: 5, once: true}
	labelsPatch         = method{units: 5, oldUnits: 5}
	labelsDelete        = method{units: 5, oldUnits: 5}
	messagesList        = method{units: 5, oldUnits: 5}
	messagesGet         = method{units: 20, oldUnits: 5}
	messagesInsert      = method{units: 25, oldUnits: 25, once: true}
	messagesModify      = method{units: 5, oldUnits: 5}
	messagesDelete      = method{units: 10, oldUnits: 10}
	messagesBatchModify = method{units: 50, oldUnits: 50}
	messagesBatchDelete = method{units: 50, oldUnits: 50}
	draftsList          = method{units: 5, oldUnits: 5}
	draftsGet           = method{units: 20, oldUnits: 5}
	draftsCreate        = method{units: 10, oldUnits: 10, once: true}
	draftsDelete        = method{units: 10, oldUnits: 10}
	draftsSend          = method{units: 100, oldUnits: 100, once: true, mails: true}
	historyList         = method{units: 2, oldUnits: 2}
	watchStart          = method{units: 100, oldUnits: 100}
	watchStop           = method{units: 50, oldUnits: 50}
	sendAsList          = method{units: 1, oldUnits: 1}
)

// cost is what a method costs by the table that is set.
func (c *config) cost(m method) int {
	if c.oldQuota {
		return m.oldUnits
	}
	return m.units
}

// quota is how many units an account may spend in which time. Projects with the
// old table have theirs for a minute in name, and are held to it by the second.
func (c *config) quota() (units int, window time.Duration) {
	if c.oldQuota {
		return max(c.quotaUnits/60, 1), time.Second
	}
	return c.quotaUnits, time.Minute
}
