import { EventEmitter } from "node:events";
import { expect, it } from "vitest";
import { UnsentAnswers } from "../../src/http/unsent-answers.ts";

class Response extends EventEmitter {
  isCut = false;
  destroy(): void {
    this.isCut = true;
    this.emit("close");
  }
}

it("cuts off the oldest readers if waiting answers use too much memory", () => {
  let cut = 0;
  const unsent = new UnsentAnswers(() => cut++, 100);
  const [first, second, third] = [new Response(), new Response(), new Response()];
  const shared = Buffer.alloc(60);
  unsent.add(shared, first);
  unsent.add(shared, second);
  expect(cut).toBe(0);
  unsent.add(Buffer.alloc(60), third);
  expect([first, second, third].map(({ isCut }) => isCut)).toEqual([true, true, false]);
  expect(cut).toBe(2);
});

it("counts an answer only while a client reads it, and never cuts the newest", () => {
  const unsent = new UnsentAnswers(() => expect.unreachable(), 100);
  for (let count = 0; count < 5; count++) {
    const response = new Response();
    unsent.add(Buffer.alloc(90), response);
    response.emit("close");
  }
  unsent.add(Buffer.alloc(1000), new Response());
});
