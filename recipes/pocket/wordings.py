"""How people ask: the tables of wordings that the language model's corpus is drawn from.

`{d}` is a description or a word for what was shown ("it"), `{n}` a noun for a medium, `{v}` a verb of motion, `{w}` any
words at all.
"""

from __future__ import annotations

MODALITIES = ("image", "audio", "video")  # also the order in which a reply asks for several

NOUNS: dict[str, tuple[str, ...]] = {
    "image": ("picture", "image", "drawing", "painting", "photo"),
    "audio": ("sound", "recording", "noise", "sound clip", "audio clip"),
    "video": ("video", "clip", "film", "animation", "movie", "short film"),
}  # fmt: skip
SHOWN: dict[str, tuple[str, ...]] = {  # what stands for the thing in a medium that was shown
    "image": ("it", "it", "this", "that", "the picture", "this picture", "this thing", "what you see"),
    "audio": ("it", "it", "this", "that", "what you hear", "what makes this sound", "this sound"),
    "video": ("it", "it", "this", "that", "the thing in the video", "what you see", "this thing"),
}  # fmt: skip
SENSES: dict[str, tuple[str, ...]] = {"image": ("see", "look at"), "audio": ("hear", "listen to"), "video": ("watch",)}
WISHES = (
    "may i {v} {d}?", "are we able to {v} {d}?", "allow me to {v} {d}", "help me to {v} {d}", "i hope to {v} {d}",
    "i wish to {v} {d}", "we want to {v} {d}", "we would like to {v} {d}", "i came here to {v} {d}",
    "i have to {v} {d}",
    "it would be great to {v} {d}", "when can i {v} {d}?", "i am curious to {v} {d}",
    "there is nothing like {d} to {v}",
)  # fmt: skip


def wishes(sense: str) -> tuple[str, ...]:
    """Requests to perceive something, by a verb of a sense."""
    return tuple(wish.replace("{v}", sense) for wish in WISHES)


MAKE: dict[str, tuple[str, ...]] = {
    "image": (
        "draw {d}", "draw me {d}", "draw this: {d}",
        "paint {d}", "sketch {d}", "illustrate {d}", "depict {d}", "show me {d}",
        "show {d}", "i want to see {d}", "let me see {d}", "what does {d} look like?", "how does {d} look?",
        "paint me {d}", "i would like to see {d}", "design {d}", "render {d}", "picture {d}", "sketch me {d}",
        "visualize {d}", "portray {d}", "doodle {d}", "put {d} on paper", "show me what {d} looks like",
        "tell me what {d} looks like", "let me look at {d}", "draw {d} as a picture",
        *wishes("see"),
    ),
    "audio": (
        "play {d}", "play me {d}", "play this: {d}",
        "let me hear {d}", "i want to hear {d}", "what does {d} sound like?",
        "how does {d} sound?", "what does {d} sound like?", "imitate {d}", "which sound does {d} make?", "sound {d}",
        "what noise does {d} make?", "i would like to hear {d}", "let me listen to {d}", "record {d}", "make {d} sound",
        "let me hear what {d} sounds like", "tell me what {d} sounds like", "give me the sound of {d}",
        "sound like {d}", "play the sound of {d}", "show me what {d} sounds like", "perform {d}",
        "make the sound of {d}",
        *wishes("hear"),
    ),
    "video": (
        "film {d}", "film this: {d}", "film {d}", "film me {d}", "animate {d}", "animate {d}", "bring {d} to life",
        "show {d} in motion", "make {d} move", "let {d} move", "let me watch {d}", "i want to watch {d}", "shoot {d}",
        "i would like to watch {d}", "show me {d} in motion", "show how {d} moves", "set {d} in motion",
        "show me how {d} moves", "tell me how {d} moves", "turn {d} into a movie", "shoot a film of {d}",
        "get {d} moving", "make {d} come alive", "let me see {d} move", "i want to see {d} move", "show me {d} moving",
        *wishes("watch"),
    ),
}  # fmt: skip
MAKE_NOUN = (
    "make a {n} of {d}", "create a {n} of {d}", "generate a {n} of {d}", "produce a {n} of {d}", "i want a {n} of {d}",
    "a {n} of {d}", "{n}: {d}", "give me a {n} of {d}", "show me a {n} of {d}", "make me a {n} of {d}",
    "i would like a {n} of {d}", "i need a {n} of {d}", "make a short {n} of {d}", "turn {d} into a {n}",
    "let me have a {n} of {d}", "i would love a {n} of {d}", "prepare a {n} of {d}", "give me {d} as a {n}",
    "a new {n} of {d}", "have you got a {n} of {d}?", "do you have a {n} of {d}?", "i am in need of a {n} of {d}",
    "a {n} showing {d}", "one {n} with {d} in it", "{d}, but as a {n}", "find me a {n} of {d}", "send me a {n} of {d}",
    "bring me a {n} of {d}", "may i have a {n} of {d}?", "we need a {n} of {d}", "surprise me with a {n} of {d}",
    "this should become a {n}: {d}", "another {n} of {d}", "one more {n} of {d}", "it should be a {n} of {d}",
    "a {n} about {d}", "the {n} should have {d} in it", "what about a {n} of {d}?", "think of {d} and make a {n}",
    "i asked for a {n} of {d}", "only a {n} of {d}", "where is my {n} of {d}?", "a {n} with {d}, that is what i want",
)  # fmt: skip
POLITE = ("{r}", "{r}", "{r}", "{r}", "please {r}", "can you {r}", "could you {r}", "now {r}", "then {r}", "{r} please",
          "would you {r}", "{r} for me", "ok, {r}", "would you please {r}", "i want you to {r}",
          "i would like you to {r}", "just {r}", "go on and {r}", "hello, {r}", "{r} now",
          "are you ready to {r}?", "do you know how to {r}?",
          "is there a chance to {r}?", "you should {r}", "you may {r}", "try to {r}", "time to {r}",
          "i need you to {r}",
          "i am asking you to {r}", "your task: {r}", "next, {r}", "if you can, {r}", "{r}, if you can", "{r}, ok?",
          "{r} if possible", "{r} again", "{r} today", "quickly {r}", "hey, {r}", "dear orch, {r}", "my wish: {r}",
          "{r}, thank you", "thanks, now {r}", "be so kind and {r}", "feel free to {r}", "i ask you: {r}",
          "want to {r}?",
          "you can {r}, can't you?", "it is time to {r}", "my next wish is that you {r}", "start to {r}")  # fmt: skip
JOINT_NOUNS = (  # several at once: {l} is a list of nouns
    "make {l} of {d}", "give me {l} of {d}", "i want {l} of {d}", "show me {d} as {l}", "{l} of {d}",
    "i need {l} of {d}",
    "{d} as {l}", "show me {l} of {d}", "may i have {l} of {d}?", "i would like {l} of {d}", "make {l} from {d}",
    "all of these of {d}: {l}", "prepare {l} of {d}",
)  # fmt: skip
JOINT_VERBS = ("{l} {d}", "{l} this: {d}", "{l} {d}", "{l} {d} at once", "{l} {d} at the same time")
JOINT_SENSES = (
    "let me {l} {d}",
    "i would like to {l} {d}",
    "help me to {l} {d}",
    "we wish to {l} {d}",
    "may i {l} {d}?",
)
JOINT_PAIRS = ("{a} and {b}", "{a}, and {b}", "{a} and also {b}", "{a} and {b} as well", "{a}; also {b}")
VERBS_OF: dict[str, tuple[str, ...]] = {
    "image": ("draw", "paint", "sketch"), "audio": ("play", "sound", "imitate"), "video": ("film", "animate", "move"),
}  # fmt: skip
DESCRIBE = (
    "Describe it.", "describe", "Describe this.", "What is this?", "What's this?", "Say what this is.", "Name it.",
    "Tell me what this is.", "Write a caption.", "Caption this.", "Caption please", "Which thing is this?",
    "What is it?", "Can you describe this?", "Put this into words.", "Give me a caption.", "Describe this in words.",
    "Describe the {n}.", "Describe this {n}.", "Describe the {n} in words.", "Write a caption for this {n}.",
    "Caption the {n}.", "What does this {n} contain?", "What is in the {n}?", "Tell me about this {n}.",
    "What is in this {n}?", "Please describe the {n}.", "Tell me in words what this is.", "Explain what this is.",
    "How would you describe this?", "Identify it.", "Do you know what this is?", "Please name the thing.",
    "What could this be?", "Any idea what this is?", "What did i show you?", "What have i got here?",
    "Which one is it?",
    "Say something about it.", "In one sentence, what is it?", "Explain the {n} to me.", "What is this {n} about?",
    "What is the {n} of?", "What was that?", "Tell me more about the {n}.", "Give the thing a name.",
    "What is its name?",
    "Who or what is this?", "Summarize the {n}.", "I want to know what this is.", "Talk about the {n}.",
)  # fmt: skip
DESCRIBE_OF: dict[str, tuple[str, ...]] = {
    "image": (
        "What do you see?", "What can you see here?", "Say what you see.", "What does the {n} show?",
        "What is shown here?", "Look at this. What is it?", "What am i looking at?", "What did the artist draw?",
    ),
    "audio": (
        "What do you hear?", "What can you hear?", "Say what you hear.", "What makes this sound?",
        "What sounds here?", "What am i listening to?",
        "Listen to this. What is it?", "What is playing?", "Which instrument is this?", "Who plays here?",
        "What did i hear?", "Where does this sound come from?", "What is the source of this {n}?",
    ),
    "video": (
        "What do you see?", "What happens here?", "Say what you see.", "What does the {n} show?", "What is going on?",
        "What happens in the {n}?", "Watch this. What is it?", "What am i watching?", "What did you see in the {n}?",
    ),
}  # fmt: skip
FIRST = ("describe {d}, then {r}", "describe {d} and {r}", "say what it is, then {r}", "say what it is and {r}",
         "tell me what it is and {r}", "name it, then {r}")  # fmt: skip
VERBS: dict[str, tuple[str, ...]] = {
    "spin": ("spin", "spins", "spinning", "turn", "turns", "turning", "rotate", "rotates", "rotating"),
    "jump": ("jump", "jumps", "jumping", "hop", "hops", "hopping", "bounce", "bounces", "bouncing"),
    "shake": ("shake", "shakes", "shaking", "wobble", "wobbles", "wobbling", "tremble", "trembles", "trembling"),
    "grow": ("grow", "grows", "growing", "get bigger", "gets bigger", "getting bigger"),
    "shrink": ("shrink", "shrinks", "shrinking", "get smaller", "gets smaller", "getting smaller"),
    "left": ("move left", "moves left", "moving left", "go to the left", "goes to the left", "going left"),
    "right": ("move right", "moves right", "moving right", "go to the right", "goes to the right", "going right"),
}  # fmt: skip
MOVE = ("make {d} {v}", "let {d} {v}", "i want to see {d} {v}", "can you make {d} {v}?", "i want {d} to {v}")
SOUND_WORDS: dict[str, tuple[str, ...]] = {
    "low": ("low", "deep", "low pitched"), "high": ("high", "high pitched"), "soft": ("soft", "quiet", "gentle"),
    "loud": ("loud", "noisy"), "two": ("two notes", "twice", "two times"), "three": ("three notes", "three times"),
    "fast": ("fast notes", "quickly", "many fast notes"),
}  # fmt: skip
COUNTS = {"one": "one note", "two": "two notes", "three": "three notes", "fast": "many notes"}
CHATTER = (  # said beside a request, and not to be followed
    "i am {w}", "my {w} is {w}", "it is {w} today", "this is for my {w}", "i have a {w}", "we like {w}",
    "my {w} likes it",
    "the {w} was {w}", "i like {w} and {w}", "nobody knows the {w}", "here is the {w}", "what a {w} {w}", "so {w}",
    "we are {w}", "the {w} needs it", "i need it for the {w}", "it will be {w}", "i was at the {w}", "that is {w}",
    "my {w} told me so", "sorry, i am {w}", "there is a {w} in the {w}", "i am in the {w}", "listen, this is {w}",
)  # fmt: skip
CHATTER_WORDS = (
    "friend sister brother mother father teacher child baby boss neighbour class garden kitchen house room school "
    "party "
    "birthday holiday letter story game project shop team office wall window table morning evening week nice happy "
    "bored "
    "late early cold warm new old fine long short busy ready hungry beautiful funny sad young home work day night "
    "lesson "
    "page poster website family kids son uncle best good bad easy important free"
).split()
QUESTIONS = (
    "Why is {w}?", "When was {w} {w}?", "How does {w} {w}?", "Who is {w}?", "Where is {w}?", "Do you like {w}?",
    "What is the {w} of {w}?", "Is {w} {w}?", "How many {w} are there?", "Tell me about {w}.", "Explain {w}.",
    "Write a poem about {w}.", "Are you {w}?", "Translate {w} {w}.",
)  # fmt: skip
COPY = ("Repeat: {d}", "Say: {d}", "Copy this: {d}", "Repeat after me: {d}")
STEPS = (  # two requests, the second of which needs what the first has given
    "{a}, then {b}", "{a}, then {b}", "{a} and then {b}", "first {a}, then {b}", "{a}. then {b}", "{a}, after that {b}",
    "{a}. {b}", "first {a}. after that, {b}", "{a} and afterwards {b}", "{a}, and after that {b}", "{a}; then {b}",
)  # fmt: skip
ANSWER = (  # a second step that makes nothing
    "describe it", "tell me what you see", "tell me what you hear", "say what it is", "tell me what it is", "name it",
    "describe what you made", "tell me what you made", "give it a caption", "put it into words",
)  # fmt: skip
ASK_THEN = (
    "what is this? {r}", "what is in this {n}? {r}", "what is it? then {r}", "what is in the {n}? then {r}",
    "tell me what this is. then {r}", "what do we have here? {r}", "describe the {n}, then {r}",
)  # fmt: skip
OF_IT: dict[str, tuple[str, ...]] = {  # what is made of "it", in words of their own
    "image": ("draw its picture", "make a picture of it", "show me its picture"),
    "audio": ("play its sound", "let me hear its sound", "tell me what it sounds like", "make its sound"),
    "video": ("film it", "show me how it moves", "make it move"),
}  # fmt: skip
FAILED = "that did not work."
CAN = "i can name pictures, sounds and films, and draw, play and film things such as a guitar."
UNKNOWN = "i do not know that. " + CAN
NOTHING = "i see and hear nothing. please show me something."
SILENT = "i do not know how that sounds."
CHAT: dict[str, tuple[str, ...]] = {
    "hello! show me something, or tell me what to draw, play or film.": (
        "Hello", "Hello!", "Hi", "Hi there", "Hey", "Good morning", "Good evening!", "Hello, orch", "Greetings",
    ),
    CAN: ("What can you do?", "What do you do?", "Help", "help me", "How do I use you?", "What are you good at?"),
    "i am orch, a small model of pictures, sounds and films.": ("Who are you?", "What are you?", "What is your name?"),
    "i am fine, thank you. what shall i draw?": ("How are you?", "How are you today?", "How do you do?"),
    "you are welcome.": ("Thanks", "Thank you", "Thank you very much!", "Thanks a lot.", "Great, thanks", "Nice!"),
    "goodbye!": ("Bye", "Goodbye", "See you", "Good night"),
    "i know a guitar, a violin, a trumpet, a dog, an apple and about a hundred things more.": (
        "What do you know?", "What can you draw?", "What can you film?", "Which things do you know?",
    ),
}  # fmt: skip
