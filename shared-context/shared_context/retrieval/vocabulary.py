"""English words a question needs but does not look for, forms that no stemmer joins, and
everyday words that stand for each other."""

from __future__ import annotations

from collections import defaultdict


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


EMPTY_WORDS = _words(
    """
    a about according actually after again ago all also always am an and any anyone anything are as ask
    asked at away back be because become been before being between both but by can could d did do does
    doing done down during each either else ever every exactly first for from get gets getting give
    given got had has have having he her here hers him his how i if in into is it its itself just kind
    know last let like ll m made make makes many may maybe me mention mentioned might mine more most
    much must my myself name need never new next no nor not now of off ok okay on once one ones only
    onto or other our ours out over own please put quite rather re really regarding s said same say says
    see she should since so some somebody someone something soon sort still such suggest t take talk
    talked tell than thank thanks that the their theirs them then there these they thing things think
    this those though thought through to told too toward towards type under until up upon us use used v
    ve very want wanted was way we well went were what whatever when where whether which while who
    whoever whom whose why will with within without would yes yet you your yours yourself
    """
)
"""Words that question and answer do not share more than any two sentences. Some of them mean
something now and then, so a question that has no others is looked up with them."""

_FORMS = """
    be is are was were been | begin began begun | bend bent | bite bit bitten | blow blew blown | break
    broke broken | bring brought | build built | burn burnt burned | buy bought | catch caught | choose
    chose chosen | come came | cost costs | cut cutting | deal dealt | dig dug | draw drew drawn | dream
    dreamt dreamed | drink drank drunk | drive drove driven | eat ate eaten | fall fell fallen | feed
    fed | feel felt | fight fought | find found | fly flew flown | forget forgot forgotten | freeze
    froze frozen | give gave given | go goes went gone going | grow grew grown | hang hung | hear heard
    | hide hid hidden | hold held | keep kept | lay laid | lead led leader leading | learn learnt
    learned | leave left | lend lent | lie lay lain | lose lost | meet met | pay paid | read reading |
    ride rode ridden | ring rang rung | rise rose risen | run ran running runner | sell sold | send sent
    | sew sewn sewed | shake shook shaken | shine shone | shoot shot | show shown | shrink shrank | shut
    shutting | sing sang sung | sink sank sunk | sit sat | sleep slept asleep | smell smelt | speak
    spoke spoken | spend spent | spread spreading | stand stood | steal stole stolen | stick stuck |
    sting stung | strike struck | swear swore sworn | sweep swept | swell swollen | swim swam swum
    swimmer | take took taken | teach taught teacher | tear tore torn | tell told | think thought |
    throw threw thrown | understand understood | wake woke woken | wear wore worn | weave wove | win won
    winner | write wrote written writer | child children | foot feet | man men | mouse mice | person
    people | tooth teeth | wife wives | woman women | knife knives | leaf leaves | life lives | good
    better best | bad worse worst | far further farther | choice choose | decision decide | marriage
    marry wed | death die dead died | birth born | loss lose | sale sell sold | growth grow | flight fly
    | thought think | gift give | speech speak | belief believe | proof prove | advice advise | arrival
    arrive | departure depart | injury injure hurt | height high | length long | strength strong | width
    wide | weight weigh | depth deep | heat hot | warmth warm | price prices | analysis analyse analyze
    | explanation explain | description describe | solution solve | configuration configure config |
    deployment deploy | installation install | decline declined | refusal refuse | failure fail failed |
    success succeed successful | memory memories remember
"""

_SYNONYMS = """
    mother mom mum mama mommy mummy | father dad papa daddy | parents folks mom dad | grandmother
    grandma granny nana | grandfather grandpa granddad | sibling brother sister | child kid baby son
    daughter | kid toddler baby | husband spouse partner | wife spouse partner | boyfriend partner
    dating seeing | girlfriend partner dating seeing | friend buddy pal mate | colleague coworker
    workmate | boss manager supervisor | employer company firm | employee staff worker | doctor
    physician | vet veterinarian | teacher instructor tutor | family relatives | daughter girl | son boy
    | home house flat apartment place | apartment flat | room bedroom | move moved relocate relocated |
    street road avenue | car vehicle auto van | vehicle car truck van bus | bike bicycle cycling |
    holiday vacation trip travel | trip journey voyage tour travel | travel trip journey visit | flight
    plane | hotel stay cabin | city town | country abroad | beach coast sea | lake pond water | mountain
    hike hiking climb | hike hiking trail walk | job work position employment career | work job office |
    salary pay wage income earn | income salary pay money | money cash euros dollars budget | cost price
    pay paid expensive euros dollars | expensive price cost | cheap inexpensive | buy purchase bought
    get order | purchase buy bought order ordered | sell sold | spend cost paid | present gift | gift
    present voucher | party celebration celebrate | celebrate party birthday anniversary | birthday
    turned | wedding marry married marriage | marry wedding married engaged propose | engaged ring
    propose proposal | divorce separate split breakup | separate broke breakup split divorce | pregnant
    pregnancy expecting baby | born birth arrived | birth born delivery | die died death passed | ill
    sick illness disease | illness disease sick ill diagnosis | sick ill unwell | injury injured hurt
    sprained broke torn | injure hurt sprain | hurt pain sore ache | operation surgery | surgery
    operation | hospital clinic ward | medicine pill drug medication spray | allergic allergy | healthy
    health fit | exercise workout gym training | sport running swimming climbing gym | run running jog
    jogging race marathon | jog run running | race marathon run | practise practice train rehearse |
    train practise practice prepare | food meal eat dish | meal dinner lunch breakfast | eat ate food |
    cook cooking bake meal | dish meal recipe | cake baked bake | bake cake bread | drink coffee tea
    beer | restaurant cafe dinner lunch | pet dog cat puppy kitten | dog puppy pup | cat kitten | animal
    dog cat pet | movie film cinema | film movie | book novel read | novel book | song music sing |
    music song band concert | concert gig show | instrument guitar piano violin | art painting drawing |
    picture photo painting image | photo picture photograph | paint painting | pottery ceramics clay |
    hobby pastime | game play | begin start | start begin launch | finish complete end done | end finish
    stop | stop quit cease | quit resign notice left stop gave | leave quit left | employ hire hired |
    hire employ | learn study course class | study learn degree course | course class lesson workshop |
    class course lesson | school college university | university college degree | exam test examination
    | test exam check | examination exam test | graduate graduation degree | grade mark score | deadline
    due | hand submit deliver gave | submit hand | choose pick decide chose select | decide choose
    decision made | decision decided choose | plan planning intend | intend plan | want wish hope | wish
    want | hope wish | like love enjoy | love like adore | enjoy like love fun | favourite favorite best
    popular | favorite favourite best popular | popular favourite favorite liked | hate dislike | afraid
    scared fear frightened | fear afraid scared | angry mad furious upset | happy glad pleased delighted
    | sad unhappy upset | nervous anxious worried | worry worried concern | proud pride | surprised
    shocked astonished | tired exhausted | calm relaxed sane | help assist support | support help |
    repair fix mend restore | fix repair mend | restore repair renovate | break broke broken damage |
    broken damaged torn defective | problem issue trouble wrong | issue problem bug | error bug failure
    | mistake error wrong | accident crash mishap | happen occur | show display | display show | find
    discover found | discover find learn | see watch look | look see | meet met encounter | visit come
    see trip | invite invited | call phone ring rang | phone call rang | contact call reach touch |
    write wrote text | speak talk say | answer reply respond | reply answer | explain describe |
    recommend suggest advise should | suggest recommend propose advise | advise recommend suggest |
    propose suggest offer | offer propose | idea suggestion thought | opinion think view believe |
    reason because why | big large huge | large big huge | small little tiny | little small | fast quick
    rapid | quick fast | old age ancient | age old years | young kid | beautiful lovely pretty | pretty
    beautiful | nice lovely good | difficult hard tough | hard difficult | easy simple | important
    essential key | favourite best | color colour | colour color painted blue red yellow green orange |
    monthly month | weekly week | daily day | yearly year annual | autumn fall | evening night | night
    evening | weekend saturday sunday | garden yard plants | plant flower tree | tree wood | wood timber
    | timber wood | glue adhesive epoxy | adhesive glue | kettle pot | tool equipment | clothes clothing
    dress shirt | dress clothes | shoe shoes boots | store shop | shop store | market stall fair |
    customer client buyer | client customer | business shop company | company firm business | project |
    charity donate volunteer fundraiser | volunteer charity | computer laptop pc | laptop computer |
    server machine host | database db sqlite postgres | program app software | code program | website
    site page | password secret credential key | folder directory | directory folder | internet online
    web wifi | online internet web | delete remove erase | remove delete | add insert | change edit
    modify | update change | version release | release version ship | fail crash broke error | crash
    fail | slow latency | secure security | backup copy | config settings | settings configuration
    config options | error exception failure | request ask | vest jacket | jacket coat | launch start
    open | open opened opening | destroy ruin ate broke | sofa couch | couch sofa | stair stairs steps |
    climb stairs | vehicle drives | percent share part | share percent part | power electricity energy |
    electricity power energy | store stored keep | save saved | smoke fire | fire burn burned smoke |
    storm wind | weather rain sun storm | ocean sea | sea ocean coast | research study | ceremony
    wedding service | siblings we us our | couple together dating | together both
"""

_MEMBERS = """
    pet dog cat puppy kitten rabbit bunny hamster ferret parrot budgie turtle tortoise goldfish fish
    snake lizard horse | animal dog cat horse cow pig goat sheep hen chicken duck bird fox bear wolf deer
    squirrel mouse rat rabbit snake bee marmot monkey elephant lion | dog dachshund poodle terrier
    labrador beagle retriever collie spaniel shepherd | bird parrot owl eagle crow duck hen swan robin |
    insect bee wasp ant butterfly | language english german french spanish italian portuguese dutch
    polish russian turkish arabic hindi chinese mandarin japanese korean greek swedish danish norwegian
    finnish czech hungarian latin ukrainian | country germany france spain italy portugal england
    scotland ireland poland austria switzerland sweden norway denmark finland greece turkey russia
    ukraine india china japan korea thailand vietnam australia canada mexico brazil argentina egypt
    kenya nigeria morocco usa america iceland | continent africa asia europe america australia |
    instrument guitar piano violin cello bass drums flute trumpet saxophone clarinet organ harp
    accordion keyboard ukulele | sport football soccer tennis basketball volleyball swimming running
    climbing cycling boxing karate judo yoga skiing sailing rowing golf hockey hiking surfing |
    hobby painting drawing knitting sewing pottery gardening cooking baking reading chess photography
    fishing hiking dancing singing climbing sailing | vehicle car van truck bus motorbike motorcycle
    scooter vespa caravan camper tractor bike | scooter vespa moped | motorcycle motorbike | motorbike
    motorcycle | boat ship dinghy canoe kayak yacht sail | colour red blue green yellow orange purple
    pink black white grey brown ivory gold silver | color red blue green yellow orange purple pink black
    white gray brown gold silver | fruit apple pear cherry plum peach banana orange lemon grape
    strawberry raspberry currant blueberry mango melon | vegetable potato carrot onion tomato cabbage
    bean pea spinach pepper cucumber pumpkin lentil | meal breakfast lunch dinner supper soup pasta
    lasagne curry stew salad pizza | dessert cake pie ice pudding cookie chocolate | pastry croissant
    bun roll cake pie tart knot | drink water coffee tea milk juice wine beer cocktail lemonade | flower
    rose tulip lily daisy sunflower orchid lavender | tree oak pine apple walnut birch maple cherry fir
    willow | metal gold silver iron steel copper | material wood metal glass clay stone cotton wool
    leather plastic | clothes shirt dress trousers jeans skirt coat jacket shoes boots hat scarf gloves
    sweater suit | wear dress shirt suit jacket hat coat shoes | jewellery ring necklace bracelet
    earrings | furniture table chair bed sofa shelf cupboard desk | room kitchen bathroom bedroom cellar
    basement attic study hall | building house church school hospital tower barn garage library hall |
    relative mother father brother sister aunt uncle cousin nephew niece grandmother grandfather |
    relatives mother father brother sister aunt uncle cousin nephew niece grandmother grandfather |
    niece aunt uncle | nephew aunt uncle | aunt niece nephew | uncle niece nephew | grandparent
    grandmother grandfather | injury wrist ankle knee arm leg hip rib back shoulder burnt cut sprain
    fracture | hurt burnt burned cut broke slipped fell sprained twisted | illness flu cold cancer stroke
    diabetes fever infection covid | weight kilo kilos kg pounds | height metres meters feet tall |
    distance kilometres km miles metres | money euros dollars pounds cash loan | salary month earn |
    wages paid pay earn month | rent month landlord lease | profession job nurse doctor teacher lawyer
    engineer cook chef baker carpenter plumber electrician pilot driver farmer mechanic designer
    accountant | job nurse doctor teacher lawyer engineer cook chef baker carpenter plumber pilot |
    living job work repairs teaches builds | subject maths history physics chemistry biology geography
    art music | weekday monday tuesday wednesday thursday friday saturday sunday | month january february
    march april may june july august september october november december | season spring summer autumn
    winter | holiday christmas easter beach mountains cabin hotel sea | festival christmas easter
    halloween thanksgiving | religion church mosque temple buddhist christian muslim jewish |
    award prize medal trophy won | prize award medal trophy won | competition race contest tournament
    marathon prize won | contest competition prize won | race marathon | publication book article paper
    thesis | dissertation thesis | thesis dissertation | device phone laptop tablet computer camera |
    toy doll lego puzzle ball teddy marbles | game chess cards rummy poker monopoly scrabble
"""
"""Members of everyday categories: who asks for a pet is answered with a dog."""

_ALSO = """
    date seeing dating | dating seeing | wedding propose yes ceremony | ceremony wedding | marry yes
    engaged | niece girl | outdoors rock mountain outside | freed free | quit notice | resign notice |
    handed gave | born from birth | origin from born | grow plant planted | grows plant | earn pay paid
    salary money | lend lent borrow borrowed | borrow lend lent belongs | own owns belongs have | belong
    owns | discover found | invent invented created made | create made invented | postpone later moves
    delayed | delay later moved | succeed passed won | pass passed exam | fail failed | promote
    promotion partner | promotion partner boss | accommodation hotel flat tent slept | spend slept spent
    | overtake overtook passed | audience people crowd | spectators people crowd | perform played sang
    concert stage | performance concert show played | pupil children students | pupils children
    students | colleague works teaches | flatmate roommate | roommate flatmate | steal stole | rescue
    saved save | cry cried tears | tears cried cry | weep cried cry | laugh laughed | travel came went
    drove flew | abroad country came | remember memory | responsible lead charge | responsibility lead
    project | team people group | forbidden not said no | refuse said no | permit allowed | ill hospital
    | surgery hospital plate | hospital ward surgery clinic | treat hospital doctor | reply said |
    inherit inheritance left | neighbour next door | baker bakery bread | bread loaf loaves | loaf bread
    | newborn baby born | expecting pregnant due | father baby dad | mother mum mom | apprentice
    apprenticeship learn | employee works hire | wage paid | wound cut burnt | storm squall wind | sailor
    sailing boat | photograph photo picture | photo picture photograph | picture photo painting |
    examination exam | vegetarian vegan meat | afford money | expensive cost euros | heavy kilos |
    kilogram kilos kg | insomnia sleep | sleepless sleep awake | remedy swears helps | medicine pills |
    instructor teacher trainer coach | coach trainer instructor | trainer coach instructor | supervisor
    professor boss | professor supervisor | landlady landlord | landlord landlady rent | tenant rent |
    lease rent | balcony terrace | terrace balcony | cellar basement | basement cellar | lift elevator |
    elevator lift | autumn october november | licence license | license licence | headmaster principal
    | principal headmaster | witness bridesmaid | bride wedding | groom wedding | honeymoon trip wedding
    | nickname call called | name called named call | named called name
"""
"""More words that an answer may use instead."""


def _forms() -> dict[str, frozenset[str]]:
    return _related(_FORMS, both_ways=True)


def _related(table: str, *, both_ways: bool) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for line in table.split("|"):
        words = line.split()
        for word in words if both_ways else words[:1]:
            found[word].update(other for other in words if other != word)
    return {word: frozenset(others) for word, others in found.items()}


FORMS = _forms()
"""Words with their irregular forms, either way."""

SYNONYMS = _related("|".join((_SYNONYMS, _MEMBERS, _ALSO)), both_ways=False)
"""Words with others that an answer may use instead. One way: who asks for a vehicle is
answered with a car, who asks for a car seldom with a bus."""

NUMBER_WORDS = _words(
    """
    double dozen eight eighteen eighty eleven fifteen fifty five forty four fourteen half hundred
    million nine nineteen ninety once percent quarter seven seventeen seventy six sixteen sixty ten
    third thirteen thirty thousand three twelve twenty twice two
    """
)

TIME_WORDS = _words(
    """
    ago april august autumn christmas clock date deadline december easter evening fall february first
    friday january july june last march may midsummer monday month morning next night november o'clock
    october saturday september since spring summer sunday thursday today tomorrow tonight tuesday until
    wednesday week weekend winter year yesterday
    """
)
