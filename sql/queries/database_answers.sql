SELECT true AS answers
