// Messages of PostgreSQL's protocol: a letter, a length that counts itself, a body.

export const EMPTY = Buffer.alloc(0)

export function message(letter, body = EMPTY) {
  const made = Buffer.alloc(5 + body.length)
  made.write(letter, 0, 'latin1')
  made.writeInt32BE(4 + body.length, 1)
  body.copy(made, 5)
  return made
}

export const letterOf = (made) => String.fromCharCode(made[0])
export const strings = (...texts) => Buffer.from(texts.map((text) => text + '\0').join(''))
export const query = (sql) => message('Q', strings(sql))
export const closing = (statement) => message('C', strings('S' + statement))
export const SYNC = message('S')

export const fatal = (code, text) =>
  message('E', strings('SFATAL', 'VFATAL', `C${code}`, `M${text}`, ''))

// The string that begins at an offset, and the offset behind it.
export function stringAt(made, offset) {
  const end = made.indexOf(0, offset)
  return [made.toString('utf8', offset, end), end + 1]
}

// Divides a stream of bytes into messages. The first message of a client has no letter.
export class Splitter {
  #parts = []
  #size = 0
  #needed = 1

  constructor(hasLetters) {
    this.hasLetters = hasLetters
  }

  *push(bytes) {
    this.#parts.push(bytes)
    this.#size += bytes.length
    while (this.#size >= this.#needed) {
      const all = this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts)
      const header = this.hasLetters ? 5 : 4
      this.#needed = all.length < header ? header : header - 4 + all.readInt32BE(header - 4)
      this.#parts = [all]
      if (all.length < this.#needed) return
      this.#parts = [all.subarray(this.#needed)]
      this.#size -= this.#needed
      const whole = all.subarray(0, this.#needed)
      this.#needed = 1
      yield whole
    }
  }
}
