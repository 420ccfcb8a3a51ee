package classify

import (
	"strconv"
	"unicode"

	"github.com/qingting-ai/qingting"
)

// amountReach is how far from the words of a claim its amount may stand, in
// characters of the same message.
const amountReach = 30

// amount returns the sum a money claim names: the amount nearest to words of
// the claim in the same message, or the only one the customer ever names. nil
// when none is named.
func amount(doc *qingting.Document, claim qingting.ClaimCode) *float64 {
	if claim != qingting.ClaimRefund && claim != qingting.ClaimCompensate {
		return nil
	}
	nearest, only := amountReach+1, map[float64]bool{}
	var found, single *float64
	asked := map[int][]qingting.Hit{} // by message
	for _, h := range doc.Hits {
		if h.Field == qingting.FieldClaim && h.Code == string(claim) && h.Guard == qingting.GuardNone {
			asked[h.Message] = append(asked[h.Message], h)
		}
	}
	for i, m := range doc.Messages {
		if m.Role != qingting.RoleCustomer || m.Partial() {
			continue
		}
		for _, s := range m.Slots {
			v, err := strconv.ParseFloat(s.Value, 64)
			if s.Kind != qingting.SlotAmount || err != nil {
				continue
			}
			only[v] = true
			single = &v
			for _, h := range asked[i] {
				gap := max(s.Start-h.End, h.Start-s.End, 0)
				if h.End <= s.Start && gap <= followGap {
					// 退我200 says more than 200元……退款: the sum that follows at once wins.
					gap = 0
				}
				if gap < nearest {
					nearest, found = gap, &v
				}
			}
		}
	}
	if found == nil && len(only) == 1 {
		found = single
	}
	return found
}

// followGap is how close behind the words of a claim a sum is its object.
const followGap = 4

func isWordChar(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
